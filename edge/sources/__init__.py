"""Where frames come from: a folder, a ring in shared memory, a socket, or a synthetic scene."""
