package kubernetes_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsVariable makes the program of the test the DNS of the cluster: it then has the address to listen on and
// the URL of the API server.
const dnsVariable = "CLUSTERLITE_TEST_DNS"

func TestMain(m *testing.M) {
	if address, api, found := strings.Cut(os.Getenv(dnsVariable), " "); found {
		log.Fatal(serveDNS(address, api))
	}
	os.Exit(m.Run())
}

// serveDNS answers queries for NAME.NAMESPACE.svc.cluster.local as the DNS of a cluster does: with the address of
// a service, or with those of the ready endpoints if it has none. Nothing is cached.
func serveDNS(address, api string) error {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 10, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		var query dnsmessage.Message
		if query.Unpack(buffer[:n]) != nil || len(query.Questions) != 1 {
			continue
		}
		go func() {
			if answer, err := answerTo(client, api, query).Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from) // a client that gets no answer asks again
			}
		}()
	}
}

func answerTo(client *http.Client, api string, query dnsmessage.Message) *dnsmessage.Message {
	q := query.Questions[0]
	answer := &dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true, Authoritative: true, RecursionDesired: query.RecursionDesired}, Questions: query.Questions}
	service, inCluster := strings.CutSuffix(strings.ToLower(q.Name.String()), ".svc.cluster.local.")
	name, namespace, found := strings.Cut(service, ".")
	if !inCluster || !found || strings.Contains(namespace, ".") {
		answer.RCode = dnsmessage.RCodeNameError
		return answer
	}
	addresses, exists, err := addressesOf(client, api, namespace, name)
	switch {
	case err != nil:
		answer.RCode = dnsmessage.RCodeServerFailure
	case !exists:
		answer.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		for _, a := range addresses {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 5}, Body: &dnsmessage.AResource{A: a.As4()}})
		}
	}
	return answer
}

func addressesOf(client *http.Client, api, namespace, name string) (addresses []netip.Addr, exists bool, err error) {
	var service struct{ Spec struct{ ClusterIP string } }
	if exists, err = get(client, api+"/api/v1/namespaces/"+namespace+"/services/"+name, &service); err != nil || !exists {
		return nil, exists, err
	}
	if a, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
		return []netip.Addr{a}, true, nil
	}
	var slices struct {
		Items []struct {
			Endpoints []struct {
				Addresses  []netip.Addr
				Conditions struct{ Ready bool }
			}
		}
	}
	if _, err := get(client, api+"/apis/discovery.k8s.io/v1/namespaces/"+namespace+"/endpointslices?labelSelector=kubernetes.io/service-name="+name, &slices); err != nil {
		return nil, true, err
	}
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready {
				addresses = append(addresses, e.Addresses...)
			}
		}
	}
	return addresses, true, nil
}

// get reads an object. It does not exist if found is false.
func get(client *http.Client, url string, into any) (found bool, err error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusNotFound:
		return false, nil
	case http.StatusOK:
		return true, json.NewDecoder(response.Body).Decode(into)
	}
	return false, fmt.Errorf("got %s", response.Status)
}
