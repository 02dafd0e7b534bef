"""Measures what compression buys: one transformer on the latents of several codecs.

    python -m tools.compare_compression --text-encoder MINILM --output OUT

Codecs of several k are trained alike on moving digits, and a `ConvAutoencoder` with
them: first at k = 4, then each from the one of half its k, for as many steps on as many
frames. Then the same transformer is trained on the latents of each, for the same time,
in parts that end at shares of it: a part starts with the weights of the one before, and
its learning rate falls to its end. After each part, what the generator makes of
captions is read back; after the last one with fewer sampling steps too.

Times are CPU seconds of one step, measured once for every k, and the steps that fit
into the time follow from them. So the load of the machine changes neither. Run it with
OMP_NUM_THREADS=1. Everything is kept in OUT, and the same command goes on after a kill.
`results.json`, `results.png` and the tables grow with every result.
"""
