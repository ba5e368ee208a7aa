class Unspeakable(Exception):  # its name is what is left of it
    def __str__(self):
        raise self


raise Unspeakable
