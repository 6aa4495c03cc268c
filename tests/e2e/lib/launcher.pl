# What systemd does for a service with a socket unit, as far as a service can tell: it opens the
# sockets, keeps them, and hands them to each process it starts as descriptors 3, 4...
#
#   launcher.pl NAME=ADDRESS:PORT... -- PROGRAM ARGUMENT...
#
# On standard input "start", "signal NAME" (to the newest) or "leave"; on standard output
# "socket NAME PORT", "started PID", "exited PID CODE|SIGNAME". Where the program's own lines go is
# said by $LAUNCHER_LOG.
use strict;
use warnings;
use Config;
use POSIX ();
use Socket;

$| = 1;
$^F = 255;    # nothing of ours is closed on exec
my (@name, @socket);
while (@ARGV and (my $word = shift) ne '--') {
    my ($name, $host, $port) = $word =~ /^(.*?)=(.*):(\d+)$/ or die "no socket: $word\n";
    socket(my $s, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
    setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) or die "option: $!\n";
    bind($s, sockaddr_in($port, inet_aton($host))) or die "bind: $!\n";
    listen($s, 4096) or die "listen: $!\n";
    push @name, $name;
    push @socket, $s;
    print "socket $name ", (sockaddr_in(getsockname($s)))[0], "\n";
}
my @signal = split ' ', $Config{sig_name};
my $pid = 0;

sub start {
    $pid = fork() // die "fork: $!\n";
    if ($pid) { print "started $pid\n"; return }
    open(STDIN, '<', '/dev/null');
    open(STDOUT, '>>', $ENV{LAUNCHER_LOG});
    open(STDERR, '>>', $ENV{LAUNCHER_LOG});
    my @fd = map { POSIX::dup(fileno $_) } @socket;    # out of the way of 3, 4...
    POSIX::dup2($fd[$_] + 0, 100 + $_) for 0 .. $#fd;
    POSIX::close($_) for 3 .. 99;
    POSIX::dup2(100 + $_, 3 + $_), POSIX::close(100 + $_) for 0 .. $#fd;
    $ENV{LISTEN_PID} = $$;
    $ENV{LISTEN_FDS} = @socket;
    $ENV{LISTEN_FDNAMES} = join ':', @name;
    exec(@ARGV) or POSIX::_exit(127);
}

while (1) {
    my $in = '';
    vec($in, fileno(STDIN), 1) = 1;
    my $ready = select($in, undef, undef, 0.02);
    while ((my $gone = waitpid(-1, POSIX::WNOHANG())) > 0) {
        my $how = $? & 127 ? "SIG$signal[$? & 127]" : $? >> 8;
        print "exited $gone $how\n";
    }
    next unless $ready > 0;
    exit 0 unless sysread(STDIN, my $line, 200);
    for (split /\n/, $line) {
        start() if $_ eq 'start';
        kill($1, $pid) if /^signal (\w+)$/;
        exit 0 if $_ eq 'leave';
    }
}
