raise SystemExit("this machine is not supported")
