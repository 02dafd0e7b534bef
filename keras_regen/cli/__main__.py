from keras_regen.cli import main

main()
