"""One attempt at one job in this process, without Ray: `python -m services.tuning.trainers`.

For whoever looks into a job that fails: stop the platform first, or it is another trainer's too.
"""

from __future__ import annotations

import argparse
import logging

from bestiary.profile.load import load_profile
from bestiary.settings import Settings
from bestiary.state.database import Database
from services.tuning.trainers.run import Workshop, run_attempt


def main() -> None:
    parser = argparse.ArgumentParser(prog="services.tuning.trainers", description=__doc__)
    parser.add_argument("job", help="its id, ftjob-...")
    parser.add_argument("attempt", type=int, help="the one that the job is running under")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    settings = Settings()
    database = Database(settings.resolved_database_url)
    profile = load_profile(settings.profile, home=settings.home)
    run_attempt(Workshop.at(settings.home, profile, database), asked.job, asked.attempt)
    database.close()


if __name__ == "__main__":
    main()
