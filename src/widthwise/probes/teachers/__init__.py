"""Teachers: tasks whose answer is known. One family a file; `Teacher` makes them all."""

from widthwise.probes.teachers.teacher import Teacher

__all__ = ["Teacher"]
