package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/upload"
)

// parameters are the parameters of a bucket's URL. The environment and Amazon's configuration
// files supply those that are empty.
type parameters struct {
	region, profile string
	role            string // the ARN of a role to assume
	endpoint        string // a URL without a path
	usePathStyle    *bool  // whether the bucket is named in the path instead of the host
	anonymous       bool
	disableHTTPS    bool
	accelerate      bool
	dualstack, fips bool
	encryption, key string // on the server, and the key in KMS
	checksums       string // when_supported or when_required
}

func parse(query url.Values) (p parameters, err error) {
	texts := map[string]*string{
		"region": &p.region, "profile": &p.profile, "role": &p.role, "endpoint": &p.endpoint,
		"ssetype": &p.encryption, "kmskeyid": &p.key, "request_checksum_calculation": &p.checksums,
	}
	flags := map[string]*bool{
		"anonymous": &p.anonymous, "disable_https": &p.disableHTTPS, "accelerate": &p.accelerate,
		"dualstack": &p.dualstack, "fips": &p.fips,
	}
	for name, values := range query {
		value := values[0]
		switch {
		case texts[name] != nil:
			*texts[name] = value
		case flags[name] != nil:
			*flags[name], err = strconv.ParseBool(value)
		case name == "use_path_style" || name == "s3ForcePathStyle":
			var style bool
			style, err = strconv.ParseBool(value)
			p.usePathStyle = &style
		case name == "hostname_immutable":
			var immutable bool
			if immutable, err = strconv.ParseBool(value); immutable {
				p.usePathStyle = &immutable
			}
		default:
			return p, fmt.Errorf("unknown parameter %q", name)
		}
		if err != nil {
			return p, fmt.Errorf("the parameter %s is %q; it must be true or false", name, value)
		}
	}
	switch {
	case p.role != "" && !strings.HasPrefix(p.role, "arn:"):
		return p, fmt.Errorf("the parameter role is %q; it must be an ARN", p.role)
	case !slices.Contains([]string{"", "AES256", "aws:kms"}, p.encryption):
		return p, fmt.Errorf("the parameter ssetype is %q; it must be AES256 or aws:kms", p.encryption)
	case p.key != "" && p.encryption == "":
		p.encryption = "aws:kms"
	case !slices.Contains([]string{"", "when_supported", "when_required"}, p.checksums):
		return p, fmt.Errorf("the parameter request_checksum_calculation is %q; it must be when_supported or when_required", p.checksums)
	}
	return p, nil
}

// load reads the environment and Amazon's configuration files.
func (p parameters) load(ctx context.Context) (aws.Config, error) {
	var options []func(*config.LoadOptions) error
	if p.region != "" {
		options = append(options, config.WithRegion(p.region))
	}
	if p.profile != "" {
		options = append(options, config.WithSharedConfigProfile(p.profile))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err == nil && p.role != "" {
		c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(c), p.role))
	}
	return c, err
}

func (p parameters) open(ctx context.Context) (*bucket, error) {
	c, err := p.load(ctx)
	if err != nil {
		return nil, err
	}
	host, secure, style, err := p.address(ctx, c)
	if err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	creds := credentials.New(found{c.Credentials})
	if p.anonymous {
		creds = credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	}
	if p.checksums == "" && c.RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired {
		p.checksums = "when_required"
	}
	client, err := minio.NewCore(host, &minio.Options{
		Creds: creds, Secure: secure, Transport: transport, Region: c.Region, BucketLookup: style,
		TrailingHeaders: p.checksums != "when_required",
	})
	if err != nil {
		return nil, err
	}
	client.SetS3EnableDualstack(p.dualstack || dualstack(ctx, c))
	if p.accelerate {
		client.SetS3TransferAccelerate("s3-accelerate.amazonaws.com")
	}
	put := minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: upload.PartSize}
	switch p.encryption {
	case "AES256":
		put.ServerSideEncryption = encrypt.NewSSE()
	case "aws:kms":
		if put.ServerSideEncryption, err = encrypt.NewSSEKMS(p.key, nil); err != nil {
			return nil, err
		}
	}
	return &bucket{client: client, transport: transport, put: put}, nil
}

// address returns the host to connect to, whether by HTTPS, and where it takes the name of
// the bucket. An endpoint that the environment or a configuration file names is used too.
func (p parameters) address(ctx context.Context, c aws.Config) (host string, secure bool, style minio.BucketLookupType, err error) {
	endpoint := p.endpoint
	if endpoint == "" && os.Getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") != "true" {
		endpoint = os.Getenv("AWS_ENDPOINT_URL_S3")
	}
	if endpoint == "" && c.BaseEndpoint != nil {
		endpoint = *c.BaseEndpoint
	}
	if endpoint == "" {
		host = "s3.amazonaws.com"
		if p.fips || fips(ctx, c) {
			if c.Region == "" {
				return "", false, style, errors.New("FIPS endpoints need a region")
			}
			host = "s3-fips." + c.Region + ".amazonaws.com"
		}
		return host, !p.disableHTTPS, p.style(minio.BucketLookupAuto), nil
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", false, style, err
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
		return "", false, style, fmt.Errorf("the endpoint is %q; it must be a URL without a path, such as http://localhost:9000", endpoint)
	}
	return u.Host, u.Scheme == "https", p.style(minio.BucketLookupDNS), nil
}

func (p parameters) style(otherwise minio.BucketLookupType) minio.BucketLookupType {
	switch {
	case p.usePathStyle == nil:
		return otherwise
	case *p.usePathStyle:
		return minio.BucketLookupPath
	default:
		return minio.BucketLookupDNS
	}
}

// dualstack reports whether the environment or a configuration file asks for IPv6 endpoints.
func dualstack(ctx context.Context, c aws.Config) bool {
	for _, source := range c.ConfigSources {
		if s, ok := source.(interface {
			GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
		}); ok {
			if state, found, err := s.GetUseDualStackEndpoint(ctx); err == nil && found {
				return state == aws.DualStackEndpointStateEnabled
			}
		}
	}
	return false
}

// fips reports whether the environment or a configuration file asks for FIPS endpoints.
func fips(ctx context.Context, c aws.Config) bool {
	for _, source := range c.ConfigSources {
		if s, ok := source.(interface {
			GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok {
			if state, found, err := s.GetUseFIPSEndpoint(ctx); err == nil && found {
				return state == aws.FIPSEndpointStateEnabled
			}
		}
	}
	return false
}

// found has the credentials that Amazon's library found. The library caches and renews them, so
// each request asks for them.
type found struct{ aws.CredentialsProvider }

func (f found) RetrieveWithCredContext(c *credentials.CredContext) (credentials.Value, error) {
	ctx := context.Background()
	if c != nil && c.Context != nil {
		ctx = c.Context
	}
	v, err := f.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return credentials.Value{}, err
	}
	return credentials.Value{
		AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken,
		Expiration: v.Expires, SignerType: credentials.SignatureV4,
	}, nil
}

func (f found) Retrieve() (credentials.Value, error) { return f.RetrieveWithCredContext(nil) }

func (f found) IsExpired() bool { return true }
