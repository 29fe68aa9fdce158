package cli

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// Signals turns the first SIGINT or SIGTERM into a closed channel, and tells
// whether it was SIGTERM. The second calls leave: whoever sends two wants the
// process gone, whatever it is doing.
func Signals(leave func()) (stop <-chan struct{}, terminated func() bool) {
	closed := make(chan struct{})
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	var term atomic.Bool
	go func() {
		term.Store(<-received == syscall.SIGTERM)
		close(closed)
		<-received
		leave()
	}()
	return closed, term.Load
}

// Impatient is what the second signal is answered with, and the exit code: a
// cutover may have been cut short.
const Impatient = "tapctl: second signal, leaving at once. Where traffic is: tapctl status. To send it back: tapctl rollback"

// ImpatientCode is the exit code after a second signal.
const ImpatientCode = exitUncertain
