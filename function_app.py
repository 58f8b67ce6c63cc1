"""The doors of the Functions host. What they do is in shared/api.py, imported at the first invocation: a cold start
pays only for what it runs."""

import azure.functions as func

app = func.FunctionApp()


@app.timer_trigger(arg_name="timer", schedule="%ROTATION_SCHEDULE%", run_on_startup=False, use_monitor=True)
def rotate_due(timer: func.TimerRequest) -> None:
    """One run. Fails its invocation when an item failed, so that Application Insights sees it."""
    from shared import api

    api.rotate_due(past_due=timer.past_due)
