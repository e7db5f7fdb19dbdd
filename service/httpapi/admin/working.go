package admin

import (
	"net/http"
	"sync"
	"time"
)

// sign is the interval between two interim answers.
const sign = 3 * time.Second

// Working sends an interim answer of status 102 (Processing) at once and then every few
// seconds, to show that the answer is being prepared. stop ends that; nothing else may be
// written to w before it has returned. stop may be called more than once.
func Working(w http.ResponseWriter) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		control := http.NewResponseController(w)
		tick := time.NewTicker(sign)
		defer tick.Stop()
		for {
			// Connections in tests may not support deadlines.
			_ = control.SetWriteDeadline(time.Now().Add(sign))
			w.WriteHeader(http.StatusProcessing)
			select {
			case <-tick.C:
			case <-done:
				_ = control.SetWriteDeadline(time.Time{})
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}
