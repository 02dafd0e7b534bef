"""`python -m keras_regen`, the command line."""

from keras_regen.cli import main

if __name__ == "__main__":
    main()
