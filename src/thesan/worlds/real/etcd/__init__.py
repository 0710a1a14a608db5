"""The journal in etcd: a thin client of our own on grpcio, and the engine port on top of it."""
