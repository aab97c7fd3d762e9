package netem

import (
	"encoding/binary"
	"math"
	"time"

	"gotimeout/internal/badnet"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The attributes of linux/pkt_sched.h that nl has no names for.
const (
	attrLatency64 = 10
	attrJitter64  = 11
	lossGE        = 2
	optionsSize   = nl.SizeofTcNetemQopt
	tick          = 64 * time.Nanosecond // the kernel's unit of times in 32 bits
)

// options encodes the params. netlink.Netem can't: it has no Gilbert-Elliott
// loss, no tables, times in whole microseconds and no overhead of a packet. The
// rate is there even where there is none, for the kernel keeps what it isn't
// told; so is the table of any jitter, the uniform one if replaces is set.
func (p params) options(replaces bool) *nl.RtAttr {
	fixed := nl.TcNetemQopt{
		Latency: uint32(p.delay / tick), Jitter: uint32(p.jitter / tick), // for kernels before 4.16
		Limit: uint32(p.limit), Loss: share32(p.loss), Duplicate: share32(p.duplicate),
	}
	if p.reorder > 0 {
		fixed.Gap = 1 // each packet may overtake
	}
	options := nl.NewRtAttr(nl.TCA_OPTIONS, fixed.Serialize())
	options.AddRtAttr(attrLatency64, nl.Uint64Attr(uint64(p.delay)))
	options.AddRtAttr(attrJitter64, nl.Uint64Attr(uint64(p.jitter)))
	if p.reorder > 0 {
		reorder := nl.TcNetemReorder{Probability: share32(p.reorder)}
		options.AddRtAttr(nl.TCA_NETEM_REORDER, reorder.Serialize())
	}
	if p.leave > 0 {
		// The two that are left out of p, r, h and 1-k are 0: all is lost in the
		// bad state, and nothing in the good one.
		bursts := words(share32(p.enter), share32(p.leave), 0, 0)
		options.AddRtAttr(nl.TCA_NETEM_LOSS|unix.NLA_F_NESTED, nil).AddRtAttr(lossGE, bursts)
	}
	p.addRate(options)
	if p.jitter > 0 && (replaces || p.distribution != badnet.Uniform) {
		entries := table(p.distribution)
		data := make([]byte, 0, 2*len(entries))
		for _, entry := range entries {
			data = binary.NativeEndian.AppendUint16(data, uint16(entry))
		}
		options.AddRtAttr(nl.TCA_NETEM_DELAY_DIST, data)
	}
	return options
}

func (p params) addRate(options *nl.RtAttr) {
	bytes := uint64(p.bits / 8)
	if bytes > math.MaxUint32 {
		options.AddRtAttr(nl.TCA_NETEM_RATE64, nl.Uint64Attr(bytes))
	}
	rate := words(uint32(min(bytes, math.MaxUint32)), uint32(int32(p.overhead)), 0, 0)
	options.AddRtAttr(nl.TCA_NETEM_RATE, rate)
}

// paramsIn decodes what options encodes, but for the distribution, which the
// kernel doesn't tell.
func paramsIn(options []byte) (params, error) {
	if len(options) < optionsSize {
		return params{}, unix.EINVAL
	}
	attributes, err := nl.ParseRouteAttr(options[optionsSize:])
	if err != nil {
		return params{}, err
	}
	fixed := nl.DeserializeTcNetemQopt(options)
	p := params{
		limit: int(fixed.Limit), loss: share(fixed.Loss), duplicate: share(fixed.Duplicate),
		delay: time.Duration(fixed.Latency) * tick, jitter: time.Duration(fixed.Jitter) * tick,
	}
	for _, a := range attributes {
		word := func(i int) uint32 { return binary.NativeEndian.Uint32(a.Value[4*i:]) }
		switch kind := a.Attr.Type &^ unix.NLA_F_NESTED; {
		case kind == attrLatency64 && len(a.Value) >= 8:
			p.delay = time.Duration(binary.NativeEndian.Uint64(a.Value))
		case kind == attrJitter64 && len(a.Value) >= 8:
			p.jitter = time.Duration(binary.NativeEndian.Uint64(a.Value))
		case kind == nl.TCA_NETEM_REORDER && len(a.Value) >= 4 && fixed.Gap > 0:
			p.reorder = share(word(0))
		case kind == nl.TCA_NETEM_LOSS && len(a.Value) >= 12: // and the header of the one inside
			p.enter, p.leave = share(word(1)), share(word(2))
		case kind == nl.TCA_NETEM_RATE && len(a.Value) >= 8:
			p.bits, p.overhead = max(p.bits, int64(word(0))*8), int(int32(word(1)))
		case kind == nl.TCA_NETEM_RATE64 && len(a.Value) >= 8:
			p.bits = int64(binary.NativeEndian.Uint64(a.Value)) * 8
		}
	}
	return p, nil
}

func words(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = binary.NativeEndian.AppendUint32(out, v)
	}
	return out
}

// share32 writes a share as tc does: all of the 32 bits is 100%.
func share32(share float64) uint32 { return uint32(math.RoundToEven(share * math.MaxUint32)) }

func share(bits uint32) float64 { return float64(bits) / math.MaxUint32 }
