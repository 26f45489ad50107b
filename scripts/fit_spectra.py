"""Fit the background EEG of wake and N3 to real spectra: `python scripts/fit_spectra.py --nights 8 --seed 7`.

Background and graphoelements add up, so the fit goes in rounds: it simulates with the constants as they stand, compares
level and spread at each knot with the UCDDB subjects that are fitted on (`judges.spectra.FITTED`), and prints what
`encoders/simulation/eeg.toml` should say instead. Put that there and run it again until little changes.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from judges.spectra import FITTED, FRAME_S, REAL, Spectra, clean, real_spectra, scaled, spectra_of
from numpy.typing import NDArray

from encoders.simulation.draws import constants
from encoders.simulation.night import plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.render import render

ALPHA_HZ = (8.0, 10.5)


def in_db(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power at the knots below 31 Hz and, last, in the alpha band, `(epochs, knots + 1)`, in dB."""
    hz = np.arange(spectra.shape[1]) / FRAME_S
    spectra, hz = spectra[:, clean(hz)], hz[clean(hz)]
    reach = [(k * 0.87, k * 1.15) for k in constants("eeg")["knots_hz"] if k < 31] + [ALPHA_HZ]
    return np.stack([10 * np.log10(spectra[:, (hz >= a) & (hz <= b)].mean(axis=1)) for a, b in reach], axis=1)


def statistics(nights: Sequence[Spectra], stage: str) -> tuple[NDArray[np.float64], ...]:
    """Medians, and the spread of the modes between people and within them."""
    modes = np.array(constants("eeg")["modes"])[:, :8].T
    epochs = [in_db(night[stage]) for night in nights]
    middles = np.array([np.median(night, axis=0) for night in epochs])
    apart = np.linalg.lstsq(modes, (middles - middles.mean(axis=0))[:, :8].T, rcond=None)[0]
    within = [np.linalg.lstsq(modes, (night - np.median(night, axis=0))[:, :8].T, rcond=None)[0] for night in epochs]
    spreads = [np.diff(np.percentile(change, [16, 84], axis=1), axis=0)[0] / 2 for change in within]
    return np.median(middles, axis=0), apart.std(axis=1), np.median(spreads, axis=0)


def main() -> None:
    """Prints real, simulated, and the constants to write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    made: list[Spectra] = []
    for index in range(asked.nights):
        night = plan_night(asked.seed, subject := draw_subject(asked.seed, index), index, 0, 480)
        eeg = render(night, {"eeg_c3_m2": 128})["eeg_c3_m2"].reshape(len(night.stages), -1).astype(np.float64)
        made += [found] if (found := scaled(spectra_of(eeg, night.stages))) else []
        print(subject.id, end=" ", flush=True)
    real = [found for number in FITTED if (found := scaled(real_spectra(REAL, number)))]
    print(f"\n{len(made)} simulated nights, {len(real)} real\n")
    np.set_printoptions(precision=1, suppress=True, linewidth=120)
    for stage, states in (("W", ("open", "closed")), ("N3", ("N3",))):
        (theirs, apart, within), (ours, our_apart, our_within) = statistics(real, stage), statistics(made, stage)
        print(f"{stage} level  real {theirs}\n{stage} level  ours {ours}")
        print(f"{stage} modes between people, real {apart}, ours {our_apart}; within, real {within}, ours {our_within}")
        bump = theirs[-1] - theirs[4:6].mean() - (ours[-1] - ours[4:6].mean())
        print(f"  alpha against its neighbours: {bump:+.1f} dB")
        for state in states:
            facts = constants("eeg")[state]
            level = np.array(facts["db"])[:8] + theirs[:8] - ours[:8]
            sd = np.sqrt(np.maximum(np.array(facts["sd_db"]) ** 2 + within**2 - our_within**2, 0.04))
            level = np.append(level, facts["db"][8] + (theirs - ours)[7])  # above 30 Hz: as at 30 Hz
            print(f"[{state}]\ndb = {level.round(1).tolist()}\nsd_db = {sd.round(1).tolist()}")


if __name__ == "__main__":
    main()
