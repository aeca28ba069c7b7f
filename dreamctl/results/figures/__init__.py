"""Figures; each is named as in the paper. Importing this loads no plotting library."""

# name -> what it shows
FIGURES = {
    "figure2": "what the agent sees of five domains (needs no run)",
    "figure4": "final score over the imagination horizon",
    "figure5": "open-loop predictions of a hopper and a walker",
    "figure6": "final scores on all tasks as bars",
    "figure7": "learning curves of the methods on 8 tasks",
    "figure8": "learning curves of the representation objectives on 8 tasks",
    "figure9": "learning curves of the methods on all tasks",
    "figure10": "learning curves of the representation objectives on all tasks",
    "figure11": "learning curves of action repeat 1, 2 and 4 on all tasks",
}
