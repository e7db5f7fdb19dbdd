package subjects

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/bench/process"
)

// kafkaBrokers are the brokers that the script has started.
type kafkaBrokers struct {
	script, dir string
	brokers     int
}

func startKafka(ctx context.Context, dir string, brokers int) (*kafkaBrokers, string, error) {
	k := &kafkaBrokers{os.Getenv("CLUSTERLITE_KAFKA_SH"), dir, brokers}
	libs := os.Getenv("CLUSTERLITE_KAFKA_LIBS")
	if libs == "" {
		libs = "/opt/kafka/libs"
	}
	base, err := consecutivePorts(brokers)
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, "", err
	}
	// The output goes to a file, because the brokers that the script starts keep it open.
	out, err := os.Create(filepath.Join(dir, "start.out"))
	if err != nil {
		return nil, "", err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "bash", k.script, "start", libs, dir, strconv.Itoa(brokers), strconv.Itoa(base))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		k.Stop()
		said, _ := os.ReadFile(out.Name())
		return nil, "", fmt.Errorf("start Kafka: %w\n%s", err, said)
	}
	var list []string
	for i := range brokers {
		list = append(list, fmt.Sprintf("127.0.0.1:%d", base+i))
	}
	return k, strings.Join(list, ","), nil
}

func (k *kafkaBrokers) PIDs() (all []int) {
	for i := range k.brokers {
		b, err := os.ReadFile(filepath.Join(k.dir, fmt.Sprintf("%d.pid", i+1)))
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// Stop kills the brokers and waits until they have ended. Their data is not needed again.
func (k *kafkaBrokers) Stop() {
	for _, pid := range k.PIDs() {
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		_ = p.Kill() // it may have ended
		process.AwaitExit(pid)
	}
}

// consecutivePorts finds consecutive free ports for n brokers and, a thousand above them, for
// their controllers.
func consecutivePorts(n int) (int, error) {
next:
	for range 100 {
		base := 20000 + rand.IntN(8000) //nolint:gosec // no secret
		for i := range n {
			for _, port := range []int{base + i, base + 1000 + i} {
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					continue next
				}
				_ = l.Close()
			}
		}
		return base, nil
	}
	return 0, errors.New("no free ports for Kafka")
}
