"""Recordings: EDF and BDF files, their gaps, montage, epochs and signal quality."""

from encoders.recordings.discover import Source, discover
from encoders.recordings.edf import EdfFile
from encoders.recordings.epochs import ChannelStatistics, Epochs, build_epochs, epoch_grid
from encoders.recordings.montage import Choice, Montage, explain, resolve_montage
from encoders.recordings.quality import Quality
from encoders.recordings.recording import Recording, open_recording
from encoders.recordings.site_channels import SiteChannels, load_site_channels
from encoders.recordings.write import EdfSignal, write_edf

__all__ = [
    "ChannelStatistics", "Choice", "EdfFile", "EdfSignal", "Epochs", "Montage", "Quality", "Recording", "SiteChannels",
    "Source", "build_epochs", "discover", "epoch_grid", "explain", "load_site_channels", "open_recording",
    "resolve_montage", "write_edf",
]  # fmt: skip
