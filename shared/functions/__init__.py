"""What each function of function_app.py does. Never imports cli."""
