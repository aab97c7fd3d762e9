package badnet

import (
	"math"
	"strconv"
	"strings"
)

// String returns the text that Parse reads as this Profile: each key in its
// order, what is as good as can be left out, and "none" where nothing is left.
func (p Profile) String() string {
	var words []string
	for _, k := range keys {
		up, down := k.format(p.Up), k.format(p.Down)
		if up == down {
			words = appendWord(words, k.name, up)
			continue
		}
		words = appendWord(words, "up."+k.name, up)
		words = appendWord(words, "down."+k.name, down)
	}
	if len(words) == 0 {
		return None
	}
	return strings.Join(words, " ")
}

func appendWord(words []string, name, value string) []string {
	if value == "" {
		return words
	}
	return append(words, name+"="+value)
}

func formatDelay(l Link) string { return text(l.Delay) }

func formatJitter(l Link) string {
	if l.Jitter == 0 || l.Distribution == Uniform {
		return text(l.Jitter)
	}
	return l.Jitter.String() + "," + l.Distribution.String()
}

func formatLoss(l Link) string {
	if l.Loss == 0 || l.Burst <= 1 {
		return share(l.Loss)
	}
	return percent(l.Loss) + ",burst=" + number(l.Burst)
}

func formatRate(l Link) string {
	if l.Rate == 0 {
		return ""
	}
	return rate(l.Rate)
}

func formatReorder(l Link) string   { return share(l.Reorder) }
func formatDuplicate(l Link) string { return share(l.Duplicate) }

func formatLimit(l Link) string {
	if l.Limit == 0 || l.Limit == DefaultLimit {
		return ""
	}
	return strconv.Itoa(l.Limit)
}

func share(v float64) string {
	if v == 0 {
		return ""
	}
	return percent(v)
}

// percent moves the point of a share by two digits instead of multiplying it:
// 0.07*100 is 7.000000000000001.
func percent(share float64) string {
	if math.IsNaN(share) || math.IsInf(share, 0) {
		return number(share) + "%"
	}
	sign := ""
	if math.Signbit(share) {
		sign = "-"
	}
	whole, fraction, _ := strings.Cut(number(math.Abs(share)), ".")
	fraction += "00"
	whole = strings.TrimLeft(whole+fraction[:2], "0")
	fraction = strings.TrimRight(fraction[2:], "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction + "%"
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// units are tc's, the largest first.
var units = []struct {
	name     string
	exponent string
	bits     int64
}{{"gbit", "e9", 1e9}, {"mbit", "e6", 1e6}, {"kbit", "e3", 1e3}, {"bit", "", 1}}

// rate writes a rate with the largest unit that leaves no fraction.
func rate(bits int64) string {
	for _, u := range units {
		if bits%u.bits == 0 && bits != 0 {
			return strconv.FormatInt(bits/u.bits, 10) + u.name
		}
	}
	return "0bit"
}
