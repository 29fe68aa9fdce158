package localaws

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// IPRanges is the document in which AWS publishes its addresses.
// https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-syntax.html
type IPRanges struct {
	SyncToken    string       `json:"syncToken"`  // seconds since the epoch
	CreateDate   string       `json:"createDate"` // YY-MM-DD-hh-mm-ss
	Prefixes     []IPPrefix   `json:"prefixes"`
	IPv6Prefixes []IPv6Prefix `json:"ipv6_prefixes"`
}

// IPPrefix is one range of IPv4 addresses.
type IPPrefix struct {
	Prefix             string `json:"ip_prefix"`
	Region             string `json:"region"`
	Service            string `json:"service"` // "ROUTE53_HEALTHCHECKS"
	NetworkBorderGroup string `json:"network_border_group"`
}

// IPv6Prefix is one range of IPv6 addresses. There are none here.
type IPv6Prefix struct {
	Prefix             string `json:"ipv6_prefix"`
	Region             string `json:"region"`
	Service            string `json:"service"`
	NetworkBorderGroup string `json:"network_border_group"`
}

// checkerRanges are where the health checkers come from: like AWS's from
// several regions, so that a policy which allows only some of the ranges is
// noticed. Linux lets any address of 127/8 be a source.
var checkerRanges = []struct {
	prefix netip.Prefix
	region string
}{
	{netip.MustParsePrefix("127.255.0.0/26"), "ap-southeast-1"},
	{netip.MustParsePrefix("127.255.0.64/26"), "eu-west-1"},
	{netip.MustParsePrefix("127.255.0.128/26"), "us-east-1"},
}

// ranges never change, and so are dated by hand.
func ranges() IPRanges {
	out := IPRanges{SyncToken: "1767225600", CreateDate: "2026-01-01-00-00-00", IPv6Prefixes: []IPv6Prefix{}}
	for _, r := range checkerRanges {
		out.Prefixes = append(out.Prefixes, IPPrefix{r.prefix.String(), r.region, "ROUTE53_HEALTHCHECKS", r.region})
	}
	return out
}

// checkers hands out the checkers' addresses in turn.
type checkers struct{ asked atomic.Uint64 }

func (c *checkers) next() net.Addr {
	n := c.asked.Add(1)
	r := checkerRanges[n%uint64(len(checkerRanges))]
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.prefix.Addr().Next(), 0))
}
