"""What makes an object travel in a model's configuration."""


class Configurable:
    """Base of the diffusion's parts: built again from the arguments it was given."""

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
