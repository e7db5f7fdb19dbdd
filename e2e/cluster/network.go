package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A Network is a set of simulated hosts, each a network namespace with its own address, and
// a switch between them that can be split. It needs root and iproute2, and is removed when
// the test ends.
//
// A host has two addresses. Hosts reach each other at Addr, unless a partition separates
// them. The test always reaches each host at Observed: its view of a host must not depend
// on a partition.
type Network struct {
	Hosts []*Host

	t      testing.TB
	id     string // part of the names of all namespaces and devices
	prefix string // the prefix of the addresses at which the test observes hosts
	parts  int    // the number of bridges in the switch
	cuts   [][2]*Host
}

// A Host is a host of a [Network].
type Host struct {
	// Name is unique in the network.
	Name string
	// Addr is the address for other hosts, Observed the address for the test. Both have no
	// port.
	Addr, Observed string

	network *Network
	number  int
}

// hostPrefix is the prefix of the addresses at which hosts reach each other. They are not
// reachable from outside the network's switch, so all networks may use the same prefix.
// This prefix and those for observation are in the range that RFC 2544 reserves for tests.
const hostPrefix = "198.19.0."

// NewNetwork creates a network without hosts. The test fails if that is impossible.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		t.Fatal("this test needs network namespaces: run it as root, with iproute2 (apt-get install iproute2)")
	}
	n := &Network{t: t, id: fmt.Sprintf("cl%04x", rand.IntN(1<<16)), prefix: freePrefix(t)}
	n.ip("netns", "add", n.namespace("switch"))
	t.Cleanup(n.remove)
	// Create the test's port and the bridge through which it observes all hosts.
	observer := n.id + "o"
	n.ip("link", "add", observer, "type", "veth", "peer", "name", "observer", "netns", n.namespace("switch"))
	n.ip("addr", "add", n.prefix+"254/24", "dev", observer)
	n.ip("link", "set", observer, "up")
	n.inSwitch("link", "add", "observe", "type", "bridge")
	n.inSwitch("link", "set", "observe", "up")
	n.plug("observer", "observe")
	n.bridge(0)
	return n
}

// freePrefix finds a prefix that no device of this host has.
func freePrefix(t testing.TB) string {
	t.Helper()
	used, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		prefix := fmt.Sprintf("198.18.%d.", rand.IntN(256))
		if !slices.ContainsFunc(used, func(a net.Addr) bool { return strings.HasPrefix(a.String(), prefix) }) {
			return prefix
		}
	}
	t.Fatal("no free addresses in 198.18.0.0/16")
	return ""
}

// Host adds a host.
func (n *Network) Host(name string) *Host {
	n.t.Helper()
	number := len(n.Hosts) + 1
	h := &Host{Name: name, Addr: fmt.Sprint(hostPrefix, number), Observed: fmt.Sprint(n.prefix, number), network: n, number: number}
	n.Hosts = append(n.Hosts, h)
	n.ip("netns", "add", h.namespace())
	n.ip("-n", h.namespace(), "link", "set", "lo", "up")
	for device, address := range map[string]string{"data": h.Addr, "observe": h.Observed} {
		n.ip("-n", h.namespace(), "link", "add", device, "type", "veth", "peer", "name", h.port(device), "netns", n.namespace("switch"))
		n.ip("-n", h.namespace(), "addr", "add", address+"/24", "dev", device)
		n.ip("-n", h.namespace(), "link", "set", device, "up")
	}
	n.plug(h.port("observe"), "observe")
	n.plug(h.port("data"), part(0))
	return h
}

// Partition splits the network: hosts reach only hosts of their own group. Hosts that are
// in no group form another one. Packets are dropped silently and connections hang, as when
// a switch fails.
func (n *Network) Partition(groups ...[]*Host) {
	n.t.Helper()
	for i, group := range groups {
		n.bridge(i + 1)
		for _, h := range group {
			n.plug(h.port("data"), part(i+1))
		}
	}
	for _, h := range n.Hosts {
		if !slices.ContainsFunc(groups, func(g []*Host) bool { return slices.Contains(g, h) }) {
			n.plug(h.port("data"), part(0))
		}
	}
}

// Cut drops all packets from one host to another. Packets in the other direction pass, but
// no connection survives with these alone.
func (n *Network) Cut(from, to *Host) {
	n.t.Helper()
	n.ip("-n", from.namespace(), "route", "add", "blackhole", to.Addr+"/32")
	n.cuts = append(n.cuts, [2]*Host{from, to})
}

// Heal ends all partitions and cuts.
func (n *Network) Heal() {
	n.t.Helper()
	n.Partition()
	for _, cut := range n.cuts {
		n.ip("-n", cut[0].namespace(), "route", "del", "blackhole", cut[1].Addr+"/32")
	}
	n.cuts = nil
}

// command returns the program and arguments that run a program on the host.
func (h *Host) command(binary string, args ...string) (string, []string) {
	return "ip", append([]string{"netns", "exec", h.namespace(), binary}, args...)
}

// Namespace returns the path of the network namespace that is the host.
func (h *Host) Namespace() string { return "/run/netns/" + h.namespace() }

func (h *Host) namespace() string { return h.network.namespace(h.Name) }

// port returns the name of the switch's end of one of the host's devices. Such names have
// at most 15 characters.
func (h *Host) port(device string) string { return fmt.Sprintf("%s-%d", device, h.number) }

func (n *Network) namespace(name string) string { return n.id + "-" + name }

func part(i int) string { return fmt.Sprintf("part-%d", i) }

// bridge creates part i of the switch if it does not exist.
func (n *Network) bridge(i int) {
	n.t.Helper()
	for ; n.parts <= i; n.parts++ {
		n.inSwitch("link", "add", part(n.parts), "type", "bridge")
		n.inSwitch("link", "set", part(n.parts), "up")
	}
}

func (n *Network) plug(port, bridge string) {
	n.t.Helper()
	n.inSwitch("link", "set", port, "master", bridge, "up")
}

func (n *Network) inSwitch(args ...string) {
	n.t.Helper()
	n.ip(append([]string{"-n", n.namespace("switch")}, args...)...)
}

func (n *Network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// remove deletes the namespaces with everything in them. The processes in them have already
// been killed: they were started later, so their cleanup ran earlier.
func (n *Network) remove() {
	names := []string{n.namespace("switch")}
	for _, h := range n.Hosts {
		names = append(names, h.namespace())
	}
	for _, name := range names {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			n.t.Errorf("remove the namespace %s: %v\n%s", name, err, out)
		}
	}
}
