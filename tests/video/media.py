"""Small videos as phones make them: with sound, at uneven times, of odd pixels."""

import fractions

import av
import numpy as np

from keras_regen.video import VideoReader

TICK = fractions.Fraction(1, 90_000)
# The frame that is white, at about the time at which the sound clicks.
FLASH = 7
# Seconds at which frames are shown, and for how long the last one is.
UNEVEN = np.cumsum([0, 40, 30, 35, 90, 33, 34, 38, 120, 30, 31, 60, 33, 45]) / 1000
LAST = 0.25


def make(
    path,
    times=UNEVEN,
    last=LAST,
    fps=25,
    codec="libx264",
    sound=None,
    rate=48_000,
    offset=0.0,
    aspect=1,
    frames=None,
    pixel_format="yuv420p",
    tags=None,
):
    """Writes a video of 32x48 pixels whose frames are as bright as their number tells.

    The sound is faint noise with a click at the time of frame `FLASH`.

    Args:
        path: path.
        times: seconds at which frames are shown.
        last: seconds for which the last frame is.
        fps: the rate in the header.
        codec: FFmpeg's name of the encoder.
        sound: FFmpeg's name of the encoder of sound, or None.
        rate: samples per second.
        offset: seconds by which sound starts before the first frame.
        aspect: pixel aspect.
        frames: list of `av.VideoFrame`, in place of grey ones.
        pixel_format: FFmpeg's name.
        tags: dict of attributes of the codec context.
    """
    # Not libx265, which writes beyond its memory for pictures this small.
    options = {"libx264": {"crf": "5", "bf": "0"}}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, fps, options=options.get(codec, {}))
        stream.height, stream.width, stream.pix_fmt = 32, 48, pixel_format
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = (
            TICK,
            fractions.Fraction(aspect),
        )
        for name, value in (tags or {}).items():
            setattr(context, name, value)
        audio = container.add_stream(sound, rate) if sound else None
        durations = {}
        ends = [*times[1:], times[-1] + last]
        for i, (time, end) in enumerate(zip(times, ends, strict=True)):
            frame = frames[i] if frames else _grey(i, pixel_format)
            frame.pts, frame.time_base = round((time + offset) / TICK), TICK
            durations[frame.pts] = round((end - time) / TICK)
            _mux(container, stream.encode(frame), durations)
        _mux(container, stream.encode(None), durations)
        if audio:
            click = offset + times[min(FLASH, len(times) - 1)]
            _write_click(container, audio, rate, click, offset + ends[-1] + 0.5)
    return path


def _grey(number, pixel_format):
    level = 255 if number == FLASH else 20 + 10 * number % 200
    frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), level, "uint8"), "rgb24")
    return frame.reformat(format=pixel_format, dst_colorspace="ITU709")


def _mux(container, packets, durations):
    for packet in packets:
        packet.duration = durations[packet.pts]
        container.mux(packet)


def _write_click(container, stream, rate, click, seconds):
    # Noise, so that no two packets are equal.
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.01, (2, int(seconds * rate))).astype("float32")
    start = int(click * rate)
    samples[:, start : start + 400] = 0.9 * np.sin(np.arange(400) / 3)
    resampler = av.AudioResampler(
        stream.codec_context.format.name,
        "stereo",
        rate,
        stream.codec_context.frame_size or 1024,
    )
    frames = []
    for i in range(0, samples.shape[1], 1024):
        part = np.ascontiguousarray(samples[:, i : i + 1024])
        frame = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
        frame.sample_rate, frame.pts = rate, i
        frame.time_base = fractions.Fraction(1, rate)
        frames += resampler.resample(frame)
    for frame in [*frames, *resampler.resample(None), None]:
        container.mux(stream.encode(frame))


def shown(path):
    """Returns the times of a file's frames from the first, and the end of the last."""
    with VideoReader(path) as reader:
        count = len(list(reader))
        times = [reader.timestamps.at(i) for i in range(count)]
    return np.array([*(start for start, _ in times), sum(times[-1])])


def click_and_flash(path):
    """Returns when the sound clicks, or None, and when the brightest frame is shown."""
    with av.open(str(path)) as container:
        frames = [
            (f.time, f.to_ndarray(format="gray")) for f in container.decode(video=0)
        ]
    first = frames[0][0]
    flash = max(frames, key=lambda frame: frame[1].mean())[0] - first
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None, flash
        resampler = av.AudioResampler("fltp", "mono", 48_000)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                loud = np.flatnonzero(np.abs(part.to_ndarray()[0]) > 0.3)
                if len(loud):
                    return part.time + loud[0] / 48_000 - first, flash
    return None, flash
