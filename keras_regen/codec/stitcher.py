"""Frames out of decoded chunks."""

from keras_regen.codec.crossfade import crossfade


class Stitcher:
    """Takes decoded chunks in their order and fades each into the next.

    Args:
        layout: a `Chunking`.
    """

    def __init__(self, layout):
        self._layout = layout
        self._previous = None
        # Frames that the next chunk has a part in, by their number.
        self._fading = {}

    def add(self, chunk, frames, is_last):
        """Adds a chunk.

        Args:
            chunk: int. Its number.
            frames: iterable of `(number, time, frame)`, ascending, the frames float32
                of shape `(H, W, 3)`.
            is_last: bool. Whether no chunk follows.

        Returns:
            Iterator of the frames that are done, in the order of their numbers.
        """
        before = chunk - 1
        alone = self._previous != before
        self._previous = chunk
        for number, time, frame in frames:
            weight_before = self._layout.weight(before, time)
            if number in self._fading:
                frame = crossfade(
                    self._fading.pop(number),
                    frame,
                    weight_before,
                    self._layout.cut(before, time),
                )
            elif not alone and weight_before == 1:
                # The chunk before has shown it.
                continue
            weight = self._layout.weight(chunk, time)
            if is_last or weight == 1:
                yield frame
            elif weight > 0:
                self._fading[number] = frame.copy()
