"""The queue of a judge: whose work is shared, whose is dropped, and whose error is whose."""

import asyncio
import threading

import pytest

from evaluation.rust.service.queue import BATCHES, JudgeQueue, Question, QueueFull, QueueStopped
from evaluation.rust.verdict import NOT_REACHED, Verdict

FAULTY = '{"signature": "fn f();", "checker": "check!("}'


class SlowJudge:
    """Judges when it is told to, and keeps what it was asked."""

    def __init__(self):
        self.go = threading.Event()
        self.asked = []

    def judge(self, codes, tests, rules="reward", deadline=None):
        self.asked += codes
        assert self.go.wait(30)
        if "worse" in codes:
            raise ValueError("a checker that does not compile")
        return [Verdict("valid", dict(NOT_REACHED)) for _ in codes]

    def check_tests(self, tests, progress=False):
        raise ValueError("faulty")

    def close(self):
        pass


def questions(*codes, tests=None):
    return [Question(code, tests, "data") for code in codes]


async def outcome_of(waiting):
    return await asyncio.wait_for(asyncio.shield(waiting.outcome), 30)


def test_equal_codes_are_judged_once_and_what_a_client_leaves_alone_is_dropped():
    async def clients():
        judge = SlowJudge()
        queue = JudgeQueue(judge, capacity=9)
        busy = [queue.ask(questions(f"busy {number}"))[0] for number in range(BATCHES)]
        gone, stays = queue.ask(questions("alone", "shared")), queue.ask(questions("shared", "own", "shared"))
        assert stays[0] is gone[1] is stays[2] and queue.waiting == 3
        queue.leave(gone)
        assert queue.waiting == 2
        with pytest.raises(QueueFull):
            queue.ask(questions(*"abcd"))
        again = queue.ask(questions("alone"))
        judge.go.set()
        verdicts = [await outcome_of(each) for each in (*busy, *stays, *again)]
        assert all(verdict.ok for verdict in verdicts)
        assert sorted(judge.asked) == sorted([*(each.question.code for each in busy), "shared", "own", "alone"])
        assert (queue.waiting, queue.running, queue.judged) == (0, 0, BATCHES + 3)
        await queue.stop()

    asyncio.run(clients())


def test_faulty_tests_of_one_client_cost_no_other_its_verdict():
    async def clients():
        judge = SlowJudge()
        queue = JudgeQueue(judge, capacity=99)
        for busy in range(BATCHES):
            queue.ask(questions(f"busy {busy}"))
        fine = queue.ask(questions(*"abcdefg"))
        faulty = queue.ask([*questions("h", tests=FAULTY), *questions("worse")])
        judge.go.set()
        assert [(await outcome_of(each)).ok for each in fine] == [True] * 7
        found = [await outcome_of(each) for each in faulty]
        assert [type(each) for each in found] == [ValueError, ValueError]
        assert str(found[1]) == "a checker that does not compile"
        await queue.stop()

    asyncio.run(clients())


def test_a_queue_that_stops_ends_what_it_judges_and_tells_the_others():
    async def clients():
        judge = SlowJudge()
        queue = JudgeQueue(judge, capacity=99)
        running = [queue.ask(questions(f"busy {busy}"))[0] for busy in range(BATCHES)]
        (waits,) = queue.ask(questions("waits"))
        stopping = asyncio.create_task(queue.stop())
        assert isinstance(await outcome_of(waits), QueueStopped)
        judge.go.set()
        assert [(await outcome_of(each)).ok for each in running] == [True] * BATCHES
        await stopping
        with pytest.raises(QueueStopped):
            queue.ask(questions("late"))
        assert "waits" not in judge.asked

    asyncio.run(clients())
