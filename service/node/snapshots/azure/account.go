package azure

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// An account says where a storage account is, and how requests are authorized. Parameters
// of a container's URL precede the variables AZURE_STORAGE_….
type account struct {
	name, domain, protocol string
	cdn, emulator          bool
	key, sas, connection   string // credentials
}

func accountOf(query url.Values) (a account, err error) {
	a = account{
		name: os.Getenv("AZURE_STORAGE_ACCOUNT"), domain: os.Getenv("AZURE_STORAGE_DOMAIN"), protocol: os.Getenv("AZURE_STORAGE_PROTOCOL"),
		key: os.Getenv("AZURE_STORAGE_KEY"), sas: os.Getenv("AZURE_STORAGE_SAS_TOKEN"),
		connection: cmp.Or(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), os.Getenv("AZURE_STORAGEBLOB_CONNECTIONSTRING")),
	}
	if a.name == "" {
		a.key = "" // the key of an unknown account
	}
	a.cdn, _ = strconv.ParseBool(os.Getenv("AZURE_STORAGE_IS_CDN"))
	a.emulator, _ = strconv.ParseBool(os.Getenv("AZURE_STORAGE_IS_LOCAL_EMULATOR"))
	for part := range strings.SplitSeq(a.connection, ";") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "AccountName":
			a.name = cmp.Or(a.name, value)
		case "DefaultEndpointsProtocol":
			a.protocol = cmp.Or(a.protocol, value)
		}
	}
	unchanged, err := a.url()
	if err != nil {
		unchanged = "" // the parameters may complete it
	}
	if err := a.override(query); err != nil {
		return a, err
	}
	address, err := a.url()
	if err != nil {
		return a, err
	}
	if a.sas != "" && a.key == "" && unchanged != "" && origin(address) != origin(unchanged) {
		return a, errors.New("the URL must not name another server while AZURE_STORAGE_SAS_TOKEN is set: it would get the token")
	}
	return a, nil
}

func (a *account) override(query url.Values) (err error) {
	for name, values := range query {
		value := values[0]
		switch name {
		case "domain":
			a.domain = value
		case "protocol":
			a.protocol = value
		case "storage_account":
			a.name = value
		case "cdn":
			a.cdn, err = strconv.ParseBool(value)
		case "localemu":
			a.emulator, err = strconv.ParseBool(value)
		default:
			return fmt.Errorf("unknown parameter %q; allowed: domain, protocol, storage_account, cdn and localemu", name)
		}
		if err != nil {
			return fmt.Errorf("the parameter %s is %q; it must be true or false", name, value)
		}
	}
	return nil
}

// url returns the URL of the account.
func (a account) url() (string, error) {
	if a.name == "" {
		return "", errors.New("the account is unknown; set AZURE_STORAGE_ACCOUNT")
	}
	domain, protocol := cmp.Or(a.domain, "blob.core.windows.net"), cmp.Or(a.protocol, "https")
	if protocol != "http" && protocol != "https" {
		return "", fmt.Errorf("the protocol is %q; it must be http or https", protocol)
	}
	address := protocol + "://" + a.name + "." + domain
	switch {
	case a.emulator || strings.HasPrefix(domain, "127.0.0.1") || strings.HasPrefix(domain, "localhost"):
		address = protocol + "://" + domain + "/" + a.name
	case a.cdn:
		address = protocol + "://" + domain
	}
	return address, nil
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// client authorizes requests by the account's key, a SAS token, a connection string, or as
// the identity that Microsoft's library finds: variables AZURE_…, a workload's or a managed
// identity, or the login of a command-line tool. The first one that is set is used.
func (a account) client(name string) (*container.Client, error) {
	address, err := a.url()
	if err != nil {
		return nil, err
	}
	if address, err = url.JoinPath(address, name); err != nil {
		return nil, err
	}
	switch {
	case a.key != "":
		shared, err := container.NewSharedKeyCredential(a.name, a.key)
		if err != nil {
			return nil, fmt.Errorf("AZURE_STORAGE_KEY: %w", err)
		}
		return container.NewClientWithSharedKeyCredential(address, shared, nil)
	case a.sas != "":
		return container.NewClientWithNoCredential(address+"?"+strings.TrimPrefix(a.sas, "?"), nil)
	case a.connection != "":
		return container.NewClientFromConnectionString(a.connection, name, nil)
	}
	identity, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return container.NewClient(address, identity, nil)
}
