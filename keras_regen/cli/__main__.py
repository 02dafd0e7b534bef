from keras_regen.cli.app import main

if __name__ == "__main__":
    main()
