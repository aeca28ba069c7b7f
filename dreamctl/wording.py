"""Numbers with their nouns, as messages say them."""


def counted(number: int, noun: str) -> str:
    """For example "1 run", "2 runs"; the last word of `noun` gets the plural's s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
