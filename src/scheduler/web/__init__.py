"""What people look at: the web client at ``/``, the dashboard at ``/dashboard``, its live feed.

* ``pages`` serves the files in ``static``, as they are, with the headers that go with them;
* ``feed`` turns snapshots into a stream of events: first everything, then what has changed.

The pages need no build step and load nothing from anywhere else.
"""
