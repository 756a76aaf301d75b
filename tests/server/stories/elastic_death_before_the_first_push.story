# Nobody knows whether what the dead worker was to give for all has been given.
scheduler workers=2 servers=1 elastic=1:3
l0 hello
w0 hello
w1 hello
s0 hello
l0 lost worker 0 exit code -9
