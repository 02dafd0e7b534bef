"""Tries hostile inputs, and counts those that do what no input may do.

    python -m tools.attack
    python -m tools.attack --kinds kills full_disk --count 200 --seed 1

Every input is tried in a process of its own, forked from one that has imported Keras,
in an empty directory. `attempt` lists the rules. A kind of inputs is a function of the
other modules, which writes files to that directory and returns an `Attempt`. Input `i`
depends on the seed, its kind and `i` alone. The status is 1 if there are violations.
"""
