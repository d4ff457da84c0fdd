//! The gateway from outside: the program as it is built, over real sockets.
