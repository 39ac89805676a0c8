"""`python -m convergence` is the command `convergence`."""

from convergence.bootstrap import main

if __name__ == "__main__":
    main()
