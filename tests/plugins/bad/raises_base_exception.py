class Stop(BaseException):
    pass


raise Stop("no further")
