"""The promises that the world must keep: typing.Protocol only, no code.

Network, timers and tasks come from the event loop and need no port.
"""
