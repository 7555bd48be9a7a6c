// Checks a log exported by clearhouse with golang.org/x/mod/sumdb, and with nothing of clearhouse's own.
//
//	golog [-records] FOLDER SIZE [OLDER-FOLDER]
//	golog -bundle FOLDER
//
// The note must be signed by the key in log.vkey; the tiles must lead from the root to every entry that is asked for;
// the root must come out of the entries; the tree of OLDER-FOLDER must be its beginning. Entries are commitments of 33
// bytes, or with -records whatever they are. Ends with 1 and a sentence when
// any of it does not hold. A bundle of evidence: each entry's leaf must be the HMAC of its opening under its salt, and
// its proof must lead from that leaf to the root of the signed head.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// folder reads tiles; x/mod names them with their height, the C2SP layout without.
type folder string

func (f folder) Height() int { return height }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (f folder) head() (tlog.Tree, error) {
	msg, err := os.ReadFile(filepath.Join(string(f), "checkpoint"))
	if err != nil {
		return tlog.Tree{}, err
	}
	return f.open(msg)
}

// open believes a head that the folder's key signed.
func (f folder) open(msg []byte) (tlog.Tree, error) {
	var tree tlog.Tree
	key, err := os.ReadFile(filepath.Join(string(f), "log.vkey"))
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, errors.New("the note is not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = hash(lines[2])
	return tree, err
}

func hash(text string) (tlog.Hash, error) {
	var h tlog.Hash
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(bytes) != tlog.HashSize {
		return h, fmt.Errorf("%q is no hash", text)
	}
	copy(h[:], bytes)
	return h, nil
}

// evidence checks one entry of a bundle.
func (f folder) evidence(path string) error {
	var entry struct {
		Index               int64
		Leaf, Salt, Opening string
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &entry); err != nil {
		return err
	}
	salt, _ := hex.DecodeString(entry.Salt)
	opening, _ := hex.DecodeString(entry.Opening)
	label := "application/vnd.clearhouse.opening.v1+pb"
	mac := hmac.New(sha256.New, salt)
	fmt.Fprintf(mac, "DSSEv1 %d %s %d %s", len(label), label, len(opening), opening)
	leaf := mac.Sum([]byte{1})
	if hex.EncodeToString(leaf) != entry.Leaf {
		return errors.New("what the entry says is not what was logged")
	}
	proof, err := os.ReadFile(strings.TrimSuffix(path, "json") + "tlog-proof")
	if err != nil {
		return err
	}
	parts := strings.SplitN(string(proof), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" ||
		lines[1] != fmt.Sprintf("index %d", entry.Index) {
		return errors.New("no proof of this entry")
	}
	tree, err := f.open([]byte(parts[1]))
	if err != nil {
		return err
	}
	var way tlog.RecordProof
	for _, line := range lines[2:] {
		h, err := hash(line)
		if err != nil {
			return err
		}
		way = append(way, h)
	}
	return tlog.CheckRecord(way, tree.N, tree.Hash, entry.Index, tlog.RecordHash(leaf))
}

// bundle checks every entry of a bundle.
func bundle(path string) error {
	entries, err := filepath.Glob(filepath.Join(path, "entries", "*.json"))
	if err != nil || len(entries) == 0 {
		return errors.New("there are no entries")
	}
	for _, entry := range entries {
		if err := folder(path).evidence(entry); err != nil {
			return fmt.Errorf("%s: %v", filepath.Base(entry), err)
		}
	}
	return nil
}

// entries reads every bundle.
func (f folder) entries(size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		path := tlog.Tile{H: height, L: 0, N: n, W: int(width)}.Path()
		path = strings.Replace(path, "tile/8/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(string(f), path))
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("%s is cut off", path)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:end])
			data = data[end:]
		}
	}
	if int64(len(all)) != size {
		return nil, fmt.Errorf("%d entries in the bundles, %d under the head", len(all), size)
	}
	return all, nil
}

// memory holds the hashes of a tree built from entries.
type memory []tlog.Hash

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var all []tlog.Hash
	for _, index := range indexes {
		all = append(all, (*m)[index])
	}
	return all, nil
}

func check(path string, size int64, older string, records bool) error {
	f := folder(path)
	tree, err := f.head()
	if err != nil {
		return err
	}
	if tree.N != size {
		return fmt.Errorf("the head covers %d entries, not %d", tree.N, size)
	}
	entries, err := f.entries(size)
	if err != nil {
		return err
	}
	var hashes memory
	for n, entry := range entries {
		if !records && (len(entry) != 33 || entry[0] != 1) {
			return fmt.Errorf("entry %d is no commitment", n)
		}
		stored, err := tlog.StoredHashes(int64(n), entry, &hashes)
		if err != nil {
			return err
		}
		hashes = append(hashes, stored...)
	}
	if root, err := tlog.TreeHash(size, &hashes); err != nil || root != tree.Hash {
		return fmt.Errorf("the entries are not those of the root (%v)", err)
	}
	tiles := tlog.TileHashReader(tree, f)
	for _, n := range []int64{0, size / 3, size / 2, size - 1} {
		proof, err := tlog.ProveRecord(size, n, tiles)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, size, tree.Hash, n, tlog.RecordHash(entries[n])); err != nil {
			return err
		}
		wrong := bytes.Repeat([]byte{7}, 33)
		if tlog.CheckRecord(proof, size, tree.Hash, n, tlog.RecordHash(wrong)) == nil {
			return errors.New("a wrong entry was proved")
		}
	}
	if older == "" {
		return nil
	}
	before, err := folder(older).head()
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, before.N, tiles)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash)
}

func main() {
	var err error
	if os.Args[1] == "-bundle" {
		err = bundle(os.Args[2])
	} else {
		args, size := os.Args[1:], int64(0)
		records := args[0] == "-records"
		if records {
			args = args[1:]
		}
		if size, err = strconv.ParseInt(args[1], 10, 64); err == nil {
			err = check(args[0], size, strings.Join(args[2:], ""), records)
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
