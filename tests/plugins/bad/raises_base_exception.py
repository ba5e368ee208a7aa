"""A plugin that raises a `BaseException` of its own."""


class Stop(BaseException):
    pass


raise Stop("no further")
