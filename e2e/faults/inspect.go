package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/history"
)

// healthyWithin is the maximum time for the system to recover from a fault by itself.
const healthyWithin = 90 * time.Second

// healthy waits, without intervention, until the brokers agree and all services run and are
// ready.
func (r *round) healthy() {
	if !r.run.Embedded {
		r.brokersHealthy()
	}
	for _, p := range r.run.services() {
		var said string
		ready := func() bool {
			if p.Exited() {
				said = "it ended by itself"
				return true
			}
			said = p.NotReady()
			return said == ""
		}
		if within(healthyWithin, ready); said != "" {
			r.violate("%s does not come back by itself within %s: %s", p.Name, healthyWithin, said)
			r.run.stuck = true
		}
	}
}

func (r *round) brokersHealthy() {
	// A deposed leader may take some seconds to learn that it was deposed.
	var divided string
	if within(healthyWithin, func() bool { divided = r.run.kafka.NotWhole(); return divided == "" }); divided != "" {
		r.violate("the brokers do not come back by themselves within %s: %s", healthyWithin, divided)
		r.run.stuck = true
	}
}

// inspect reads everything from every node, and checks the round.
func (r *round) inspect() {
	if r.run.stuck {
		return // the checks below would report the missing nodes again
	}
	r.lastReads()
	r.followed()
	r.equal()
	r.violations = append(r.violations, history.Check(r.operations, history.Options{Timeout: checkPatience, Dir: r.run.Dir})...)
}

// checkPatience is the maximum duration of the search in one group.
const checkPatience = 30 * time.Second

// lastReads reads each entity and each address of the round from each query node. These reads
// become part of the history, so they show whether an acknowledged write was lost.
func (r *round) lastReads() {
	s := newSender()
	defer s.close()
	for _, g := range r.groups {
		var asked []history.Operation
		for i := range pool {
			asked = append(asked, history.Operation{Group: g.name, Kind: history.Find, Email: g.email(i)})
		}
		for _, id := range g.known() {
			asked = append(asked, history.Operation{Group: g.name, Kind: history.Read, ID: id}, history.Operation{Group: g.name, Kind: history.Read, ID: id, Model: true})
		}
		for i, p := range r.run.queries() {
			for _, o := range asked {
				r.lastRead(s, p, teams*teamSize+i, o)
			}
		}
	}
}

func (r *round) lastRead(s sender, p *cluster.Process, client int, o history.Operation) {
	var a answer
	o.Client = client
	answered := within(healthyWithin, func() bool {
		o.Start = r.run.now()
		a = s.send(p.URL, o, asking(r.run.strongest)...)
		o.End = r.run.now()
		return a.meaning != refused
	})
	if a.meaning == wrong || !answered {
		r.violate("%s does not answer after the fault: %s", p.Name, a.said)
		return
	}
	o.Outcome, o.Entity, o.Position, o.Fresh = a.outcome, a.entity, a.position, true
	o.Node = nodeName(p, r.run.generation(p), o.Model)
	r.operations = append(r.operations, o)
}

// equal checks that all nodes reach the same rows, and that no address has two holders on
// any node.
func (r *round) equal() {
	var differ string
	same := func() bool {
		differ = ""
		first, err := digests(r.run.services()[0])
		for _, p := range r.run.services()[1:] {
			var next string
			if err == nil {
				next, err = digests(p)
			}
			if next != first {
				differ = fmt.Sprintf("%s has %s, %s has %s", r.run.services()[0].Name, first, p.Name, next)
			}
		}
		if err != nil {
			differ = err.Error()
		}
		return differ == ""
	}
	if !within(healthyWithin, same) {
		r.violate("nodes do not reach equal digests: %s", differ)
		return
	}
	var rows [][]byte
	for _, p := range r.run.queries() {
		b, err := r.rows(p)
		if err != nil {
			r.violate("list the rows of %s: %v", p.Name, err)
			continue
		}
		rows = append(rows, b)
		if !bytes.Equal(b, rows[0]) {
			r.violate("%s lists other rows than its peers", p.Name)
		}
		for email, n := range holders(b) {
			if n > 1 {
				r.violate("%s: %d hold %s", p.Name, n, email)
			}
		}
	}
}

// digests returns a node's position and the digests at that position.
func digests(p *cluster.Process) (string, error) {
	b, err := fetch(p.Admin+"/status", "Authorization: "+p.Credential())
	var s cluster.Status
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return fmt.Sprint(s.Position, s.Digests), err
}

// rows returns all entities of the round, one per line.
func (r *round) rows(p *cluster.Process) ([]byte, error) {
	return fetch(p.URL+"/users?sort=email&email[prefix]="+r.prefix(), "Accept: application/x-ndjson")
}

// holders counts the entities that hold each address.
func holders(rows []byte) map[string]int {
	n := map[string]int{}
	for line := range bytes.Lines(rows) {
		var e struct{ Email string }
		if json.Unmarshal(line, &e) == nil {
			n[strings.ToLower(e.Email)]++
		}
	}
	return n
}

func fetch(url string, headers ...string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, b)
	}
	return b, err
}
