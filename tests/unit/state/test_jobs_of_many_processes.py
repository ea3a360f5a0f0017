"""Several claimers at one database: no job is started twice, and no more run than may."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from state_values import PLAN, spec

from bestiary.state.tuning_jobs import TuningJobs

WORKERS = 3
JOBS = 12
MAX_RUNNING = 2

# Claims, looks how many run, ends what it claimed; until every job has ended.
WORKER = """
import sys
from bestiary.schemas.tuning import JobStatus
from bestiary.state.database import Database
from bestiary.state.tuning_jobs import StepMetrics, TuningJobs
url, jobs_in_all, max_running = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
jobs = TuningJobs(Database(url))
sys.stdin.readline()
while len(jobs.list(status=JobStatus.SUCCEEDED, limit=jobs_in_all).data) < jobs_in_all:
    job = jobs.claim(max_running)
    if job is None:
        continue
    print(job.id, job.attempt, len(jobs.running()), flush=True)
    jobs.progressed(job.id, job.attempt, [StepMetrics(1, 1, {"loss": 1.0})])
    jobs.succeeded(job.id, job.attempt, model=None, result_files=(), message="done")
"""

CREATOR = """
import sys
from state_values import PLAN, spec
from bestiary.state.database import Database
from bestiary.state.tuning_jobs import TuningJobs
jobs = TuningJobs(Database(sys.argv[1]))
sys.stdin.readline()
for number in range(20):
    print(jobs.create(spec(), PLAN, key=str(number)).id)
"""


def run_at_once(script: str, count: int, *arguments: str) -> list[list[str]]:
    """The lines of each process; all are started first, and begin together."""
    command = [sys.executable, "-c", script, *arguments]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    workers = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(count)
    ]
    try:
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        lines = [worker.communicate(timeout=120)[0].splitlines() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0] * count
    return lines


def test_processes_that_claim_at_once_start_each_job_once(database, database_url):
    jobs = TuningJobs(database)
    made = {jobs.create(spec(), PLAN).id for _ in range(JOBS)}

    told = run_at_once(WORKER, WORKERS, database_url, str(JOBS), str(MAX_RUNNING))

    claims = [line.split() for lines in told for line in lines]
    assert Counter(id for id, _, _ in claims) == Counter(made)
    assert {attempt for _, attempt, _ in claims} == {"1"}
    assert max(int(running) for _, _, running in claims) <= MAX_RUNNING
    assert jobs.running() == ()


def test_claims_in_the_same_moment_never_start_more_than_may_run(database):
    jobs = TuningJobs(database)
    for _ in range(20):
        jobs.create(spec(), PLAN)
    together = threading.Barrier(4)

    def claim(_):
        together.wait(30)
        return jobs.claim(1)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(10):
            claimed = [job for job in threads.map(claim, range(4)) if job is not None]
            assert len(claimed) == 1
            jobs.cancel(claimed[0].id)


def test_processes_that_create_at_once_with_one_key_make_one_job(database, database_url):
    told = run_at_once(CREATOR, 2, database_url)

    assert told[0] == told[1]
    assert len(set(told[0])) == 20
    assert len(TuningJobs(database).list(limit=100).data) == 20
