"""Where people talk to agents from elsewhere than this machine: what comes in, what goes out, and whose it is."""
