// KDBX file header: two signatures and a version. A KDB header alone has 124 bytes.
rule keepass_database
{
    meta:
        id = "keepass.database"
        name = "KeePass database"
        kind = "indicator"
        severity = "medium"
        confidence = "high"
        why = "Holds passwords, guarded by one; a key file or that password may lie in the same snapshot."
        fix = "Keep the database out of images; change its master key if a copy has left the house."
        reference = "https://keepass.info/help/kb/kdbx.html"
    strings:
        $kdbx = { 03 D9 A2 9A 67 FB 4B B5 ?? ?? ( 02 | 03 | 04 ) 00 }
        $kdb = { 03 D9 A2 9A 65 FB 4B B5 }
    condition:
        ($kdbx at 0 or $kdb at 0) and filesize >= 124
}
