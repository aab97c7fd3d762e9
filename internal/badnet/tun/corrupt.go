package tun

import "encoding/binary"

const vnet = 10 // bytes of struct virtio_net_hdr in front of each packet

// corrupted returns a copy of a frame in which a bit of the packet behind the headers
// is flipped. The checksum of the copy is that of the whole packet, so that the
// receiver finds the fault.
func corrupted(frame []byte, headers, bit int) []byte {
	c := append([]byte(nil), frame...)
	finish(c[:headers], c[headers:])
	c[headers+bit/8] ^= 1 << (bit % 8)
	return c
}

// finish fills in the checksum that the kernel has left to the device, and says so in
// the struct virtio_net_hdr. Until then the checksum's field has the sum of the pseudo
// header (https://docs.kernel.org/networking/checksum-offloads.html).
func finish(header, packet []byte) {
	const needed = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	if len(header) < vnet {
		return
	}
	if header = header[len(header)-vnet:]; header[0]&needed == 0 {
		return
	}
	start := int(binary.NativeEndian.Uint16(header[6:]))
	field := start + int(binary.NativeEndian.Uint16(header[8:]))
	if field+2 > len(packet) || start > field {
		return
	}
	sum := uint32(0)
	for i := start; i < len(packet); i++ {
		if (i-start)%2 == 0 {
			sum += uint32(packet[i]) << 8
		} else {
			sum += uint32(packet[i])
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	whole := ^uint16(sum)
	if whole == 0 { // which would be none in UDP
		whole = 0xffff
	}
	binary.BigEndian.PutUint16(packet[field:], whole)
	header[0] &^= needed
}
