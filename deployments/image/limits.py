"""What one request may ask of a replica, beside the schema's own bounds."""

from __future__ import annotations

from dataclasses import dataclass

from bestiary.errors import ImageTooLarge, InvalidRequest
from bestiary.profile.models import ImageEngine


@dataclass(frozen=True, slots=True)
class ImageLimits:
    max_pixels: int  # of one picture
    max_images: int  # candidates of one request
    max_steps: int

    def check_candidates(self, images: int, best_of: int) -> None:
        """Raises InvalidRequest."""
        if images * best_of > self.max_images:
            raise InvalidRequest(
                f"{images} images of {best_of} candidates each are {images * best_of}; "
                f"at most {self.max_images} are made for one request here",
                "n" if best_of == 1 else "best_of",
            )

    def check_size(self, width: int, height: int, param: str) -> None:
        """Raises ImageTooLarge."""
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                f"{width}x{height} are {width * height} pixels; at most {self.max_pixels} "
                f"are taken here",
                param,
            )

    def check_steps(self, steps: int) -> None:
        """Raises InvalidRequest."""
        if steps > self.max_steps:
            raise InvalidRequest(f"steps is {steps}; at most {self.max_steps} here", "steps")


def limits_of(engine: ImageEngine) -> ImageLimits:
    return ImageLimits(engine.max_pixels, engine.max_images, engine.max_steps)
