package plugin

import (
	"encoding/hex"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Session is one connection of one client. It is the gateway's, and only there while the hook runs.
type Session interface {
	// ID is unique, and the same in logs, replies and Received.
	ID() string
	Listener() string
	// ClientAddress is the client's IP address; "unix" for a client of a Unix socket, "unknown" where
	// a proxy does not know.
	ClientAddress() string
	ClientPort() uint16
	// ClientName is the client's host name where a trusted proxy said it, else empty.
	ClientName() string
	// Helo is the name by which the client introduced itself; empty before.
	Helo() string
	// ESMTP is whether it said EHLO or LHLO.
	ESMTP() bool
	// TLS is nil in clear text.
	TLS() *TLS
	// TLSAtProxy is whether TLS ended at a trusted proxy.
	TLSAtProxy() bool
	// User is the identity that AUTH established; empty if none.
	User() string
	Mechanism() string
	// Forwarded is what a trusted proxy said of the client (XFORWARD), or nil.
	Forwarded() *Forwarded
	// Load is what this plugin saved in this session on an earlier hook, or nil.
	Load() []byte
	// Save keeps at most 64 KiB.
	Save(state []byte) error
	// Note is a fact that a plugin told: its name is "plugin.key".
	Note(name string) (value string, ok bool)
	// SetNote tells other plugins: at most 64 notes a session, 1 KiB each.
	SetNote(key, value string) error
	// Conduct is what the client has done so far against the manners of the protocol, such as
	// "early-talker", and how often; only what it has done.
	Conduct() map[string]uint32
	// Delay holds the reply of this step back, for at most a minute. The plugin does not run meanwhile.
	// Of several delays the longest counts.
	Delay(d time.Duration) error
}

// TLS tells of the encryption of a session.
type TLS struct {
	Version, Cipher string
	// ServerName is what the client asked for (SNI), or empty.
	ServerName string
	// ClientSubject is of the client's certificate, if that was verified, or empty.
	ClientSubject string
}

// Forwarded is what a trusted proxy said (XFORWARD); what it did not say is empty.
type Forwarded struct {
	Name, Address, Protocol, Helo, Identity, Source string
	Port                                            uint16
}

// Parameter is an ESMTP parameter: keyword in capitals, value decoded.
type Parameter struct {
	Keyword string
	Value   string
	// HasValue tells an empty value from none.
	HasValue bool
}

// Recipient is one recipient of a transaction.
type Recipient struct {
	// Index stays the same for the whole transaction.
	Index      uint32
	Address    string
	Parameters []Parameter
}

// Domain is what follows the last @, in small letters.
func (r Recipient) Domain() string { return Domain(r.Address) }

// LocalPart is what comes before the last @, as it was written.
func (r Recipient) LocalPart() string { return LocalPart(r.Address) }

// Score is points under the name of a symbol.
type Score struct {
	Symbol string
	Points float64
}

// Transaction is the envelope of one mail.
type Transaction interface {
	ID() string
	// Sender is empty for the null reverse-path.
	Sender() string
	Parameters() []Parameter
	// Recipients are those that were accepted so far.
	Recipients() []Recipient

	// SetSender and the next three take the grant rewrite-envelope. The empty address is the null
	// reverse-path.
	SetSender(address string) error
	// AddRecipient tells the index of the new one. From Data on.
	AddRecipient(address string) (index uint32, err error)
	SetRecipient(index uint32, address string) error
	DropRecipient(index uint32) error
	// RefuseRecipient refuses one of them after the message was seen. At Headers and Message.
	RefuseRecipient(index uint32, answer Reply) error
	// Route sends all recipients to an upstream of the configuration, RouteRecipient one. From Rcpt on;
	// grant route.
	Route(upstream string) error
	RouteRecipient(index uint32, upstream string) error

	// Score adds points under the name of a symbol, of which the listener's thresholds make a verdict.
	Score(symbol string, points float64) error
	// Scores are all so far, those of other plugins too.
	Scores() []Score
}

// AtTop and AtEnd are places for a new header.
const (
	AtTop = 0
	AtEnd = -1
)

// Message is complete in the hook Message, headers only in Headers.
type Message interface {
	// Size is the octets received so far.
	Size() uint64
	// HeaderSection is as received, without the empty line that ends it.
	HeaderSection() []byte
	// Header is every value of this header, unfolded, in order. The octets may be no UTF-8.
	Header(name string) []string
	ReadAll() Reader
	ReadBody() Reader
	// Parts are the MIME parts, depth first; empty in Headers.
	Parts() []Part
	// ReadPart reads a part's decoded content; ok is false for a multipart, or if there is no such part.
	ReadPart(index uint32) (content Reader, ok bool)

	// AddHeader inserts after the first `at` headers: AtTop, AtEnd. Grant rewrite-headers, as the next
	// two.
	AddHeader(at int, name, value string) error
	// SetHeader replaces the value of the nth header of this name, counted from 0.
	SetHeader(name string, nth int, value string) error
	DropHeader(name string, nth int) error
	// ReplaceBody replaces all after the header section, once the writer is closed. In Message; grant
	// rewrite-body, as the next one.
	ReplaceBody() (Writer, error)
	// SpliceBody replaces length octets of the body from `at` on.
	SpliceBody(at, length uint64, with []byte) error
}

// Part is one part of a MIME message. What it does not say is empty.
type Part struct {
	Index uint32
	// Parent is the part that it is within; Root is whether it is the message itself.
	Parent uint32
	Root   bool
	// ContentType is in small letters, as are Charset and Disposition.
	ContentType, Charset, Disposition string
	FileName                          string
	// Size is in octets after decoding.
	Size uint64
	// Encoded is where it lies, still encoded, in the body; nil for what is within an encoded part.
	Encoded *Extent
}

// Extent is a stretch of the body.
type Extent struct{ At, Length uint64 }

// Reader reads content, which stays with the gateway. Close it if you open many.
type Reader interface {
	io.ReadCloser
	// Skip tells how many octets were skipped: fewer than asked at the end.
	Skip(count uint64) uint64
	// Find tells the offset from here of the first occurrence within the next octets. The gateway
	// searches.
	Find(needle []byte, within uint64) (offset uint64, found bool)
	// SHA256 is of the rest; the position stays where it is.
	SHA256() [32]byte
}

// Writer takes a new body. It takes effect when it is closed.
type Writer interface {
	io.WriteCloser
	// Copy copies without passing through the plugin.
	Copy(source Reader, count uint64) (copied uint64, err error)
}

// Outcome is what became of a session or a mail.
type Outcome struct {
	Session string
	// Transaction is empty where none was open.
	Transaction   string
	Listener      string
	ClientAddress string
	// Stage is connect, helo, auth, mail, rcpt, message, delivery, disconnect, or one of later versions.
	Stage     string
	Sender    string
	Recipient string
	// By is the plugin that decided, or the upstream that answered.
	By string
	// Code is 0 where there was no reply.
	Code int
	Text string
	// Time is in milliseconds since 1970.
	Time uint64
}

// Domain is what follows an address's last @, in small letters; empty if there is none.
func Domain(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	return strings.ToLower(address[at+1:])
}

// LocalPart is what comes before an address's last @.
func LocalPart(address string) string {
	return address[:max(strings.LastIndexByte(address, '@'), 0)]
}

// ClientIP is the client's address, and is not valid if it has none.
func ClientIP(s Session) netip.Addr {
	address, err := netip.ParseAddr(s.ClientAddress())
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}

// ReverseName is the name under which a list in DNS has an address (RFC 5782): 192.0.2.1 and the zone
// list.example make 1.2.0.192.list.example.
func ReverseName(address netip.Addr, zone string) string {
	address = address.Unmap()
	var labels []string
	if address.Is4() {
		for _, octet := range address.As4() {
			labels = append(labels, strconv.Itoa(int(octet)))
		}
	} else {
		octets := address.As16()
		labels = strings.Split(hex.EncodeToString(octets[:]), "")
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "." + zone
}
