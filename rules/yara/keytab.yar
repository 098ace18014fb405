// MIT keytab, version 2: 05 02, then entries - length, number of components, realm; all big-endian.
rule kerberos_keytab
{
    meta:
        id = "kerberos.keytab"
        name = "Kerberos keytab"
        kind = "secret"
        severity = "high"
        confidence = "high"
        why = "Its keys sign in as the principals in it, without a password."
        fix = "Change the keys of these principals and make a new keytab."
        reference = "https://web.mit.edu/kerberos/krb5-latest/doc/formats/keytab_file_format.html"
    strings:
        $entry = /\x05\x02\x00\x00[\x00-\x03][\x18-\xff]\x00[\x01-\x06]\x00[\x03-\x60][A-Za-z0-9.-]{3}/
    condition:
        $entry at 0 and int32be(2) < filesize
}
