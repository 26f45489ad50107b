"""Files that come with a visitor, and files that a visitor takes away."""

import base64
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

LARGEST_GB = 2  # of one file: a night of forty channels at 512 Hz has half of it


def uploaded(path: str) -> Path:
    """A path that the page names, if it lies where uploads do: no other file of this machine is for visitors."""
    from gradio.utils import get_upload_folder

    from retrieval import BadInput

    found = Path(path).resolve()
    if not found.is_relative_to(Path(get_upload_folder()).resolve()) or not found.is_file():
        raise BadInput("that file was not uploaded here; drop it again.")
    return found


def sent(name: str, content: bytes) -> dict[str, str]:
    """A file as the page's `sleepsearch.download` takes it: name and content, base64."""
    return {"name": name, "content": base64.b64encode(content).decode()}


def zipped(paths: Iterable[Path]) -> bytes:
    """These files as one archive, by their names alone."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
    return packed.getvalue()


def plain_name(said: str) -> str:
    """A name that any system takes for a file."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in said)
