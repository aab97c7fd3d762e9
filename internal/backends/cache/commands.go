package cachebackend

import (
	"fmt"
	"strconv"
	"time"
)

// run carries out a request that was parsed and returns the answer's line, or "" when there is nothing to add to what it wrote.
// An error means that the connection is to be closed.
func (c *cacheConn) run(r request) (answer string, err error) {
	switch r.command {
	case "get", "gets", "gat", "gats":
		return c.get(r)
	case "delete":
		return ok(c.store.delete(r.key), "DELETED"), nil
	case "touch":
		_, found := c.store.touch(r.key, deadline(r.expires))
		return ok(found, "TOUCHED"), nil
	case "incr", "decr":
		return c.store.add(r.key, r.delta, r.command == "decr"), nil
	case "flush_all":
		c.store.flush(deadline(r.expires))
		return "OK", nil
	case "verbosity":
		return "OK", nil
	case "version":
		return "VERSION " + cacheVersion, nil
	case "stats":
		c.stats()
		return "END", nil
	case "quit":
		return "", errQuit
	}
	return c.store.put(r.command, r.cas, item{
		key: r.key, flags: r.flags, value: r.data, expires: deadline(r.expires),
	}), nil
}

// cacheVersion begins with the version of memcached whose answers ours are compared with.
const cacheVersion = "1.6.18-gotimeout"

func ok(found bool, answer string) string {
	if found {
		return answer
	}
	return "NOT_FOUND"
}

// get answers a retrieval. A bad slow key refuses the whole request before anything is written or waited for, and so do
// slow keys that together ask for too much.
func (c *cacheConn) get(r request) (answer string, err error) {
	var total time.Duration
	for _, key := range r.keys {
		delay, _, _, err := c.slowKey(key)
		if err != nil {
			return "CLIENT_ERROR " + err.Error(), nil
		}
		if total += delay; total > c.longest {
			return fmt.Sprintf("CLIENT_ERROR the keys' durations add up to over the cap of %s", c.longest), nil
		}
	}
	for _, key := range r.keys {
		it, found, err := c.fetch(r, key)
		if err != nil {
			return "", err
		}
		if found {
			c.value(it, r.command == "gets" || r.command == "gats")
		}
	}
	return "END", nil
}

func (c *cacheConn) fetch(r request, key string) (it item, found bool, err error) {
	if r.command == "gat" || r.command == "gats" {
		it, found = c.store.touch(key, deadline(r.expires))
		return it, found, nil
	}
	if delay, run, slow, _ := c.slowKey(key); slow {
		return item{key: key, value: []byte(key)}, true, c.work(r.command, delay, run)
	}
	it, found = c.store.get(key)
	return it, found, nil
}

func (c *cacheConn) value(it item, withCAS bool) {
	fmt.Fprintf(c.w, "VALUE %s %d %d", it.key, it.flags, len(it.value))
	if withCAS {
		fmt.Fprintf(c.w, " %d", it.cas)
	}
	c.answer("\r\n" + string(it.value))
}

func (c *cacheConn) stats() {
	items, bytes, evictions := c.store.sizes()
	stat := func(name, value string) { c.answer("STAT " + name + " " + value) }
	stat("uptime", strconv.Itoa(int(time.Since(c.started).Seconds())))
	stat("time", strconv.FormatInt(time.Now().Unix(), 10))
	stat("version", cacheVersion)
	stat("curr_items", strconv.Itoa(items))
	stat("bytes", strconv.Itoa(bytes))
	stat("limit_maxbytes", strconv.Itoa(maxStore))
	stat("evictions", strconv.Itoa(evictions))
}

// deadline turns an expiry as the protocol sends it into a time: 0 is never and gives the zero time, a negative one is past,
// one of up to 30 days is relative, and any other is a Unix time.
func deadline(sent int64) time.Time {
	const month = 60 * 60 * 24 * 30
	switch {
	case sent == 0:
		return time.Time{}
	case sent < 0:
		return time.Unix(0, 0)
	case sent <= month:
		return time.Now().Add(time.Duration(sent) * time.Second)
	}
	return time.Unix(sent, 0)
}
