"""A film in a window, where there is a screen."""

from __future__ import annotations

import os

import numpy as np

from core.errors import UsageError

__all__ = ["check_screen", "show"]

SIDE = 600  # pixels that the shorter side of the window has at least
NO_WINDOW = ("dummy", "offscreen")  # drivers of SDL that open none


def check_screen() -> None:
    """Raise UsageError where no window can be opened."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import pygame

    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
    except pygame.error as error:
        raise UsageError(f"no window can be opened here ({error}); --render gif writes the film to a file") from error
    finally:
        pygame.display.quit()
    if driver in NO_WINDOW:
        raise UsageError(f"no window can be opened with the driver {driver!r}; --render gif writes the film to a file")


def show(frames: np.ndarray, title: str, frames_per_second: float = 30) -> None:
    """Show frames [T, H, W, 3] uint8 in a window until they are over or the window is closed."""
    import pygame

    os.environ.pop("SDL_VIDEODRIVER", None)  # environments that are drawn into arrays have set it
    pygame.display.quit()
    pygame.display.init()
    height, width = frames.shape[1:3]
    scale = max(1, -(-SIDE // min(height, width)))
    screen = pygame.display.set_mode((width * scale, height * scale))
    pygame.display.set_caption(title)
    clock = pygame.time.Clock()
    for frame in frames:
        if any(event.type == pygame.QUIT for event in pygame.event.get()):
            break
        picture = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        screen.blit(pygame.transform.scale(picture, screen.get_size()), (0, 0))
        pygame.display.flip()
        clock.tick(frames_per_second)
    pygame.display.quit()
