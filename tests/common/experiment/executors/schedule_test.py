"""Scheduling with made-up processes: each task has a script of exit codes."""

from pathlib import Path

import pytest

from common.experiment.executors.schedule import Backend, Ending, run_tasks
from common.experiment.executors.task import BUSY, OPEN, OVER, Task
from common.experiment.outcome import Stopped, StopRequest


class World:
    """Made-up processes, which take two looks each and then end with the next code."""

    def __init__(self, codes, slots=1, busy=(), can_stop=True):
        self.codes = {name: list(own) for name, own in codes.items()}
        self.tasks = [Task(name, name, [], (), Path()) for name in codes]
        self.busy, self.over = set(busy), set()
        self.request, self.started, self.stopped, self.most = StopRequest(), [], [], 0
        self.running, self.looks, self.shown, self.pauses = {}, {}, [], 0
        stop = self.stop if can_stop else None
        self.backend = Backend(slots, self.start, self.poll, stop, "slot {}".format)

    def start(self, pairs):
        for slot, task in pairs:
            assert slot not in self.running.values()
            self.started.append(task.name)
            self.running[task.name], self.looks[task.name] = slot, 2
        self.most = max(self.most, len(self.running))
        return [task.name for _, task in pairs]

    def poll(self, name):
        self.looks[name] -= 1
        if self.looks[name] > 0 and name not in self.stopped:
            return None
        del self.running[name]
        code = 75 if name in self.stopped else self.codes[name].pop(0)
        if code == 0:
            self.over.add(name)
        is_final = code == "cancelled"
        return Ending(1 if is_final else code, f"{name} ended with {code}", is_final)

    def stop(self, name):
        self.stopped.append(name)

    def look(self, task):
        return OVER if task.name in self.over else BUSY if task.name in self.busy else OPEN

    def pause(self):
        self.pauses += 1
        assert self.pauses < 100, "it never ends"

    def run(self, retries=0):
        return run_tasks(
            self.tasks,
            self.backend,
            self.request,
            retries=retries,
            look=self.look,
            show=lambda status: self.shown.append(dict(status)),
            pause=self.pause,
        )


def test_no_more_run_at_a_time_than_there_are_slots_and_all_run_in_order():
    world = World({name: [0] for name in "abcde"}, slots=2)
    assert world.run() == {}
    assert world.started == list("abcde") and world.most == 2
    assert {own.word for own in world.shown[-1].values()} == {"ended"}


def test_what_crashed_is_tried_again_as_often_as_asked_for():
    world = World({"a": [1, -9, 0], "b": [1, 1, 1]})
    assert world.run(retries=2) == {"b": "b ended with 1"}
    assert world.started.count("a") == world.started.count("b") == 3
    assert world.shown[-1]["b"].word == "given up"


@pytest.mark.parametrize("code", [2, "cancelled"])
def test_wrong_usage_and_what_a_person_has_ended_are_not_tried_again(code):
    world = World({"a": [code, 0], "b": [0]})
    assert world.run(retries=5) == {"a": f"a ended with {code}"}
    assert world.started == ["a", "b"]


def test_stopped_process_goes_on_at_the_end_of_the_queue_and_is_no_failure():
    world = World({"a": [75, 75, 75, 0], "b": [0]})
    assert world.run(retries=0) == {}
    assert world.started == ["a", "b", "a", "a", "a"]


def test_failed_runs_end_a_task_whatever_its_code():
    world = World({"a": [1]})
    look = world.look
    world.look = lambda task: OVER if not world.codes["a"] else look(task)
    assert world.run(retries=3) == {}
    assert world.started == ["a"]


def test_task_of_another_process_is_left_to_it_and_taken_over_once_it_is_free():
    world = World({"a": [0], "b": [0]}, busy="a")
    pause = world.pause

    def free():
        pause()
        if world.pauses == 5:
            assert world.shown[-1]["a"].word == "elsewhere" and world.started == ["b"]
            world.busy.clear()

    world.pause = free
    assert world.run() == {}
    assert world.started == ["b", "a"]


def test_task_that_another_process_ends_is_not_started():
    world = World({"a": [0]}, busy="a")
    world.pause = lambda: world.over.add("a")
    assert world.run() == {} and world.started == []


def test_process_that_came_too_late_is_no_failure():
    world = World({"a": [1, 0]})
    poll = world.backend.poll

    def late(name):
        ending = poll(name)
        world.busy = {"a"} if ending and ending.code == 1 else set()
        return ending

    world.backend = world.backend._replace(poll=late)
    world.pause = lambda: world.busy.clear()
    assert world.run(retries=0) == {} and world.started == ["a", "a"]


def test_request_stops_all_that_run_waits_for_them_and_starts_nothing():
    world = World({name: [0] for name in "abc"}, slots=2)
    world.pause = lambda: setattr(world.request, "received", "SIGTERM")
    with pytest.raises(Stopped, match="SIGTERM: run the same command to go on"):
        world.run()
    assert world.started == world.stopped == ["a", "b"] and not world.running


def test_request_leaves_jobs_of_a_cluster_alone():
    world = World({"a": [0]}, can_stop=False)
    world.pause = lambda: setattr(world.request, "received", "SIGINT")
    with pytest.raises(Stopped, match="SIGINT: the jobs go on without this process"):
        world.run()
    assert list(world.running) == ["a"]
