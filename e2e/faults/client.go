package faults

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/history"
)

// think is the maximum pause of a client between operations.
const think = 20 * time.Millisecond

// A client sends one operation after another, through Nginx or directly to a service.
type client struct {
	id    int
	round *round
	rng   *rand.Rand
	keys  int
	sender
}

// work sends operations on the groups of its team until the round ends.
func (c *client) work(t *team) {
	defer c.close()
	for n := 0; !c.round.ended(); n++ {
		g := t.group()
		o := g.choose(c.rng, fmt.Sprintf("c%d.%d", c.id, n))
		o.Client = c.id
		if o.Kind == history.Read || o.Kind == history.Find {
			c.read(g, o)
		} else {
			c.write(g, o)
		}
		time.Sleep(time.Duration(c.rng.Int64N(int64(think))))
	}
}

// consistency returns the consistency that a client demands, or an empty string for none.
func (c *client) consistency() string {
	dice := c.rng.IntN(100)
	switch {
	case dice < 15:
		return "eventual"
	case dice < 30:
		return ""
	case dice < 45 || c.round.fault.deposes && dice < 80:
		return "linearizable"
	}
	return "strong"
}

// fresh reports whether an answer with the given consistency must reflect everything that was
// acknowledged. A deposed leader that is still alive may report its end of the log before it
// knows that it was deposed. Strong consistency allows that; linearizable consistency does not.
func (c *client) fresh(label string) bool {
	return label == "linearizable" || label == "strong" && !c.round.fault.deposes
}

func asking(consistency string) []string {
	if consistency == "" {
		return nil
	}
	return []string{"Clusterlite-Consistency: " + consistency}
}

func (c *client) read(g *group, o history.Operation) {
	url, node := c.route(c.round.run.queries())
	// A process that lost its data and was restarted during the request may count as either.
	before := c.round.run.generation(node)
	asked := c.consistency()
	o.Model = c.rng.IntN(4) == 0
	o.Start = c.round.run.now()
	a := c.send(url, o, asking(asked)...)
	o.End = c.round.run.now()
	if a.meaning == decided && asked != "" && a.label != asked {
		a = answer{meaning: wrong, said: fmt.Sprintf("%s: asked for %s, given %q", o, asked, a.label)}
	}
	if !c.round.count(a) {
		return
	}
	o.Outcome, o.Entity, o.Position, o.Fresh = a.outcome, a.entity, a.position, c.fresh(a.label)
	if after := c.round.run.generation(node); node != nil && after == before {
		o.Node = nodeName(node, after, o.Model)
	}
	c.round.record(g, o)
}

// nodeName returns the name of what a node answers from: its own read model, or one in SQL, which has a
// position of its own.
func nodeName(p *cluster.Process, generation int, model bool) string {
	name := fmt.Sprintf("%s.%d", p.Name, generation)
	if model {
		name += " model"
	}
	return name
}

// route chooses Nginx, half the time, or one of the services. The process is nil if it chooses
// Nginx.
func (c *client) route(services []*cluster.Process) (string, *cluster.Process) {
	if c.rng.IntN(2) == 0 {
		return c.round.run.cluster.URL, nil
	}
	p := services[c.rng.IntN(len(services))]
	return p.URL, p
}

// write sends a write: once, or with an idempotency key until the client knows the outcome.
func (c *client) write(g *group, o history.Operation) {
	asked := "strong"
	if c.round.fault.deposes || c.rng.IntN(4) == 0 {
		asked = "linearizable"
	}
	headers := asking(asked)
	keyed := c.rng.IntN(3) == 0
	o.Keyed = keyed
	if keyed {
		c.keys++
		headers = append(headers, fmt.Sprintf("Idempotency-Key: %s.c%d.%d", g.name, c.id, c.keys))
	}
	// open is the operation as it counts if no request gets an answer.
	open := o
	open.Start = c.round.run.now()
	doubt := false
	for attempt := 1; ; attempt++ {
		url, _ := c.route(c.round.run.commands())
		o.Start = c.round.run.now()
		a := c.send(url, o, headers...)
		o.End = c.round.run.now()
		isDecided := c.round.count(a)
		if isDecided {
			o.Outcome, o.Entity, o.Fresh = a.outcome, a.entity, c.fresh(asked)
			if a.outcome == history.Done {
				o.Position = a.position
				o.Start = open.Start
				c.round.record(g, o)
				if keyed && c.rng.IntN(4) == 0 {
					c.again(o, headers)
				}
				return
			}
			// An error answer describes only its own request. An earlier request whose outcome
			// is unknown may still take effect.
			c.round.record(g, o)
			break
		}
		doubt = doubt || a.meaning != refused
		if !keyed || a.meaning == wrong || !doubt && attempt == 3 || c.round.pressing() {
			break
		}
		time.Sleep(50*time.Millisecond + time.Duration(c.rng.Int64N(int64(200*time.Millisecond))))
	}
	if doubt {
		c.round.record(g, open)
	}
}

// again repeats a completed write with its key. Every service must return the same outcome.
func (c *client) again(o history.Operation, headers []string) {
	url, _ := c.route(c.round.run.commands())
	a := c.send(url, o, headers...)
	if c.round.count(a) && (a.outcome != o.Outcome || a.entity != o.Entity || a.position != o.Position) {
		c.round.violate("%s: under its key again it is %s %+v at %d", o, a.outcome, a.entity, a.position)
	}
}
