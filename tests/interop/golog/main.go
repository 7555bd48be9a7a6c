// Checks a log exported by clearhouse with golang.org/x/mod/sumdb, and with nothing of clearhouse's own.
//
//	golog FOLDER SIZE [OLDER-FOLDER]
//
// The note must be signed by the key in log.vkey; the tiles must lead from the root to every entry that is asked for;
// the root must come out of the entries; the tree of OLDER-FOLDER must be its beginning. Ends with 1 and a sentence when
// any of it does not hold.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
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
	var tree tlog.Tree
	key, err := os.ReadFile(filepath.Join(string(f), "log.vkey"))
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return tree, err
	}
	msg, err := os.ReadFile(filepath.Join(string(f), "checkpoint"))
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
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tree, errors.New("the checkpoint has no root")
	}
	copy(tree.Hash[:], root)
	return tree, nil
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

func check(path string, size int64, older string) error {
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
		if len(entry) != 33 || entry[0] != 1 {
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
	size, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err == nil {
		err = check(os.Args[1], size, strings.Join(os.Args[3:], ""))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
