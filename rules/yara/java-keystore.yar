// JKS and JCEKS: magic and version, then entries; a private key is wrapped under the algorithm of its own (1.3.6.1.4.1.42.2.17.1.1 and
// 1.3.6.1.4.1.42.2.19.1). Written from general knowledge of the format; not yet checked
// against a file made by keytool.
rule java_keystore_private_key
{
    meta:
        id = "keystore.java"
        name = "Java key store with a private key"
        kind = "secret"
        severity = "high"
        confidence = "high"
        why = "Holds a private key, guarded by a password that is often changeit or written in the configuration beside it."
        fix = "Make a new key and certificate, and revoke this one."
        reference = "https://docs.oracle.com/en/java/javase/21/security/java-cryptography-architecture-jca-reference-guide.html"
    strings:
        $jks = { FE ED FE ED 00 00 00 ( 01 | 02 ) }
        $jceks = { CE CE CE CE 00 00 00 ( 01 | 02 ) }
        $jks_protection = { 06 0A 2B 06 01 04 01 2A 02 11 01 01 }
        $jceks_protection = { 06 09 2B 06 01 04 01 2A 02 13 01 }
    condition:
        ($jks at 0 and $jks_protection) or ($jceks at 0 and $jceks_protection)
}
